// Implements an interface of the name that tests ask for, with other methods.

#include <qtforge/plugin.hpp>

using Other = qtforge::Interface<"image.filter/1",
                                 qtforge::Method<"apply(image, amount)", qtforge::BinaryMessage(qtforge::BinaryMessage, float)>,
                                 qtforge::Method<"version()", int()>>;

class OtherPlugin : public qtforge::Implements<OtherPlugin, Other> {
 public:
  qtforge::BinaryMessage apply(qtforge::BinaryMessage image, float) { return image; }
  int versionNumber() { return 1; }

  static constexpr auto methods() {
    return std::tuple(bind<"apply">(&OtherPlugin::apply), bind<"version">(&OtherPlugin::versionNumber));
  }
};

QTFORGE_PLUGIN(OtherPlugin);
