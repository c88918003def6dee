#pragma once
// qtforge/qtforge.hpp: all of qtforge but Python. What a C++ host includes.

#include <qtforge/communication/communication.hpp>
#include <qtforge/core/core.hpp>
#include <qtforge/host.hpp>
#include <qtforge/utils/utils.hpp>
