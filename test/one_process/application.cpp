// See application.hpp. Built with default and with hidden visibility, and with -Bsymbolic.

#include "application.hpp"
#include "participant.hpp"

#include <qtforge/host.hpp>

namespace application {

namespace {

one_process::Participant& self() {
  static one_process::Participant participant("application");
  return participant;
}

}  // namespace

qtforge::expected<void> listen() { return self().listen(); }
qtforge::expected<void> speak() { return self().speak(); }
void report() { self().report(); }

void* root() { return qtforge::root(); }
const void* runtime() { return &qtforge::Runtime::instance(); }
const void* context() { return &qtforge::Runtime::instance().executor().context(); }

}  // namespace application
