#pragma once
// qtforge/qt/executor.hpp: handlers in the thread of a QObject, in its event loop. Needs Qt 6 Core, and no moc.

#include <qtforge/qt/detail/receiver.hpp>

#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::qt {

/// An executor of Asio that queues into the event loop of the thread in which an object lives, as a queued signal does: for
/// boost::asio::bind_executor, co_spawn and all that takes an executor. Functions run in the order in which a thread has
/// queued them, each between two other events, also where the object's own thread queues them.
///
/// When the object dies, what is queued and what comes later is destroyed without a call: a subscription with messages ends,
/// so that its publishers get Errc::ShuttingDown, and a coroutine that would go on is destroyed. What is queued moves to
/// another thread with the object, and waits where no event loop runs. What a function throws goes into Qt's event loop,
/// which ends the program; handlers of the bus do not.
///
/// @par Thread safety  any thread; copies share the object.
class Executor {
 public:
  /// @param object  null: as one that has died
  /// @par Thread safety  the object's thread, or any on which it cannot die meanwhile.
  explicit Executor(QObject* object) : receiver_(detail::Receiver::of(object)) {}

  template <class F>
  void execute(F&& f) const {
    receiver_->post(std::make_shared<detail::QueuedCall<std::decay_t<F>>>(std::forward<F>(f)));
  }

  static constexpr boost::asio::execution::blocking_t::never_t query(boost::asio::execution::blocking_t) noexcept {
    return {};
  }
  /// One for all objects, which never ends.
  static boost::asio::execution_context& query(boost::asio::execution::context_t) {
    static auto& context = *new boost::asio::execution_context;
    return context;
  }

  /// Whether the calling thread is the object's: publishing and waiting there for a handler here is an error then
  /// (Errc::WouldDeadlock), not the end of the event loop.
  [[nodiscard]] bool waitsForCaller() const noexcept { return receiver_->livesHere(); }

  friend bool operator==(const Executor& a, const Executor& b) noexcept { return a.receiver_ == b.receiver_; }

 private:
  std::shared_ptr<detail::Receiver> receiver_;
};

/// Where handlers run in the thread of `object`, and not after its end:
///
///     bus.subscribe("sensor.*", boost::asio::bind_executor(qtforge::qt::executor(&label), [&](const QJsonObject& reading) {
///       label.setText(reading["text"].toString());
///     }));
///
/// A handler may destroy the object: the call goes on to its end, and is the last.
[[nodiscard]] inline Executor executor(QObject* object) { return Executor(object); }

}  // namespace qtforge::inline QTFORGE_ABI::qt
