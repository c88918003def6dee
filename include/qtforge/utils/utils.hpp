#pragma once
// qtforge/utils/utils.hpp: errors, the log, timers and the runtime.

#include <qtforge/utils/config.hpp>
#include <qtforge/utils/error.hpp>
#include <qtforge/utils/log.hpp>
#include <qtforge/utils/log_sinks.hpp>
#include <qtforge/utils/runtime.hpp>
#include <qtforge/utils/timer.hpp>
