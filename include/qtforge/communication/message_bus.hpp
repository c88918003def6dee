#pragma once
// qtforge/communication/message_bus.hpp: the message bus for programs: MessageBus with the core that runs it.

#include <qtforge/communication/bus.hpp>
#include <qtforge/communication/detail/process_root.hpp>
#include <qtforge/communication/topic.hpp>

#include <functional>

namespace qtforge::inline QTFORGE_ABI {

template <class Executor>
  requires requires(const Executor& e) { e.context(); }
MessageBus::MessageBus(Executor executor) {
  static constexpr detail::ExecutorTable table{
      [](void* self, detail::Task task) { boost::asio::post(*static_cast<Executor*>(self), detail::UniqueTask(task)); },
      [](void* self) { delete static_cast<Executor*>(self); }, nullptr};
  table_ = &detail::BusFunctions::table;
  core_ = new detail::BusFunctions::Handle(std::make_shared<detail::BusCore>(
      detail::ExecutorRef{&table, new Executor(std::move(executor))}, [](std::int32_t level, const std::string& text) {
        Logger("qtforge.bus").write(static_cast<LogLevel>(level), text);
      }));
}

/// Whether the time from publish to handling is measured, for stats(); costs a clock reading per message. Off at first.
inline void enableLatencyStats(bool enabled) { detail::latencyEnabled().store(enabled, std::memory_order_relaxed); }

/// Messages below `level` reach no sink. Default LogLevel::Info.
inline void setLogLevel(LogLevel level) { detail::processRoot().log().setLevel(level); }
[[nodiscard]] inline LogLevel logLevel() { return detail::processRoot().log().level(); }

/// Replaces all sinks, the default one (stderr) included; none: nothing is written.
inline void setLogSinks(std::vector<LogSink> sinks) { detail::processRoot().log().setSinks(std::move(sinks)); }

}  // namespace qtforge::inline QTFORGE_ABI
