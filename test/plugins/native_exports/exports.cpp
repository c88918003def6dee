// A good plugin, but linked without the version script: all that is visible is exported.

#include <qtforge/plugin.hpp>

__attribute__((visibility("default"))) int exportedToo();
int exportedToo() { return 1; }

class Exports : public qtforge::IPlugin {};

QTFORGE_PLUGIN(Exports);
