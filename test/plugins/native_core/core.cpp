// What others depend on.

#include <qtforge/plugin.hpp>

class Core : public qtforge::IPlugin {};

QTFORGE_PLUGIN(Core);
