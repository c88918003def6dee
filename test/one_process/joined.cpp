// A library that the application loads with dlopen. It is neither program nor plugin: the host hands it its root.
// Built with a pointer to the root that is its own (joined.map), and with one that the linker may merge with the host's.

#include "participant.hpp"

namespace {

one_process::Participant& self() {
  static one_process::Participant participant("joined");
  return participant;
}

int codeOf(const qtforge::expected<void>& done) { return done ? 0 : static_cast<int>(done.error().code()); }

}  // namespace

extern "C" {
__attribute__((visibility("default"))) void* joined_root() { return qtforge::root(); }
__attribute__((visibility("default"))) int joined_join(void* root) { return codeOf(qtforge::join(root)); }
__attribute__((visibility("default"))) int joined_listen() { return codeOf(self().listen()); }
__attribute__((visibility("default"))) int joined_speak() { return codeOf(self().speak()); }
__attribute__((visibility("default"))) void joined_report() { self().report(); }
}
