// Needs CorePlugin, as its manifest says.

#include <qtforge/plugin.hpp>

class Dependent : public qtforge::IPlugin {};

QTFORGE_PLUGIN(Dependent);
