#pragma once
// qtforge/host.hpp: makes a program a host: the process's runtime, log and bus are compiled into the files that include
// this, as qtforge/qtforge.hpp does. One file of a program is enough; others compile faster with the narrower headers.

#include <qtforge/communication/detail/process_root.hpp>
#include <qtforge/communication/message_bus.hpp>
#include <qtforge/utils/log_sinks.hpp>

#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

/// Whether the time from publish to handling is measured, for stats(); costs a clock reading per message. Off at first.
inline void enableLatencyStats(bool enabled) { detail::latencyEnabled().store(enabled, std::memory_order_relaxed); }

/// Messages below `level` reach no sink. Default LogLevel::Info.
inline void setLogLevel(LogLevel level) { detail::processRoot().log().setLevel(level); }
[[nodiscard]] inline LogLevel logLevel() { return detail::processRoot().log().level(); }

/// Debug mode, for finding out what plugins do: the log from LogLevel::Debug on, with how long each hook and handler took,
/// and, where the library has started Python, asyncio's debug mode for the loops that are made from then on. Its end gives
/// the level of before back. `qtforge.set_debug_mode` in Python is the same mode.
///
/// @par Thread safety  any thread. Does not wait for the GIL.
inline void setDebugMode(bool enabled) { detail::processRoot().log().setDebugMode(enabled); }

/// Replaces all sinks, the default one (stderr) included; none: nothing is written.
inline void setLogSinks(std::vector<LogSink> sinks) { detail::processRoot().log().setSinks(std::move(sinks)); }

}  // namespace qtforge::inline QTFORGE_ABI
