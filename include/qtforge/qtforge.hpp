#pragma once
// qtforge/qtforge.hpp: all of qtforge but Python and Qt. What a C++ host includes.

#include <qtforge/communication/message_bus.hpp>
#include <qtforge/core/plugin_manager.hpp>
#include <qtforge/utils/runtime.hpp>
#include <qtforge/utils/timer.hpp>
