// Built with other settings, as far as its tag says. Its code must never run.

#include <cstdlib>

__attribute__((section("qtforge_abi"), used)) static const char tag[] = "qtforge=9.9 boost=0_00";

__attribute__((constructor)) static void loaded() { std::abort(); }

extern "C" __attribute__((visibility("default"))) const void* qtforge_plugin_v1(const void*) { return nullptr; }
