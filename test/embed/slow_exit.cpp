// An extension module whose static destructor takes its time, as those of large libraries do.

#include <Python.h>

#include <chrono>
#include <thread>

namespace {

struct Slow {
  ~Slow() { std::this_thread::sleep_for(std::chrono::milliseconds(300)); }
} slow;

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "slow_exit", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_slow_exit() { return PyModule_Create(&definition); }
