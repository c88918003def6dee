#pragma once
// The interfaces of services that fixtures offer and look for.

#include <qtforge/core/interface.hpp>

namespace fixture_interfaces {

using KeyValue = qtforge::Interface<"test.key_value/1", qtforge::Method<"get(key)", std::optional<std::string>(std::string)>,
                                    qtforge::Method<"put(key, value)", void(std::string, std::string)>>;

/// Passes on what a service or plugin says that is found by its name.
using Asks = qtforge::Interface<"test.asks/1", qtforge::Method<"ask(name, key)", std::string(std::string, std::string)>,
                                qtforge::Method<"again(key)", std::string(std::string)>>;

}  // namespace fixture_interfaces
