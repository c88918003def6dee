#pragma once
// qtforge/python/detail/python_receiver.hpp: a subscription whose messages Python receives: by waiting, or when woken.

#include <qtforge/python/detail/bridge_publish.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Shared by the subscription, as its handler, by its number and by the calls that receive.
///
/// @par Thread safety  any thread. Its lock is a leaf: nothing is called under it.
class PythonReceiver : public std::enable_shared_from_this<PythonReceiver> {
 public:
  using Share = std::shared_ptr<PythonReceiver>;
  using Clock = std::chrono::steady_clock;

  /// @param wake  called without arguments as awaitMessage() asks for
  PythonReceiver(PyObject* wake, HandlerFilter filter, PyObject* owner, bool envelope)
      : wake_(Ref::borrow(wake)), filter_(std::move(filter)), owner_(Ref::borrow(owner)), envelope_(envelope) {}
  PythonReceiver(const PythonReceiver&) = delete;
  PythonReceiver& operator=(const PythonReceiver&) = delete;
  ~PythonReceiver() {
    if (handle_) root().bus->releaseSubscription(handle_);
  }

  /// What the bus calls, with a Share on the heap.
  [[nodiscard]] const qtforge::detail::HandlerTable& table() const noexcept { return tables[filter_.present()]; }

  /// The subscription that feeds it, whose handle it takes; once, before anybody receives.
  void open(void* handle) noexcept { handle_ = handle; }

  /// As a Python object, the oldest message that is there; null without a Python error if there is none.
  Ref tryReceive(const Gil& gil) {
    const Message message = take();
    if (!message.record()) return {};
    Arrival arrival = Arrival::of(message);
    return argumentOf(arrival, envelope_, gil);
  }

  [[nodiscard]] bool ended() const {
    std::lock_guard lock(mutex_);
    return ended_;
  }

  /// As tryReceive, but waits for a message, the GIL released. Null without a Python error: it has ended. Null with one:
  /// the deadline has passed, or a signal's handler raised.
  Ref receive(Clock::time_point deadline, double seconds, const Gil& gil) {
    constexpr auto slice = std::chrono::milliseconds(50);  // then Ctrl-C is looked at
    for (;;) {
      std::uint64_t seen;
      bool over;
      {
        std::lock_guard lock(mutex_);
        seen = told_;
        over = ended_;
      }
      if (Ref message = tryReceive(gil); message || PyErr_Occurred() || over) return message;
      const auto now = Clock::now();
      if (now >= deadline) return raise(lateError(seconds), gil), Ref();
      {
        const GilRelease released;
        std::unique_lock lock(mutex_);
        changed_.wait_until(lock, std::min(deadline, now + slice), [&] { return told_ != seen || ended_; });
      }
      if (PyErr_CheckSignals() != 0) return {};
    }
  }

  /// Has `wake` called once, when there is a message or the subscription ends. True: it is so already, and perhaps no call
  /// comes.
  [[nodiscard]] bool awaitMessage() {
    armed_.store(true, std::memory_order_seq_cst);
    return ended() || root().bus->receivable(handle_);
  }

 private:
  static const qtforge::detail::HandlerTable tables[2];  // whether filtered

  static PythonReceiver& of(void* self) { return **static_cast<Share*>(self); }

  static std::int32_t unused(void*, Arrival*, qtforge::detail::ErrorSink) { return 0; }

  static void destroy(void* self) {
    const std::unique_ptr<Share> share(static_cast<Share*>(self));
    (*share)->tell(true);
  }

  static std::int32_t accepts(void* self, Arrival* arrival, bool* wanted, qtforge::detail::ErrorSink sink) {
    auto& receiver = of(self);
    return receiver.filter_.accepts(*arrival, receiver.envelope_, *wanted, sink);
  }

  static void readable(void* self) { of(self).tell(false); }

  void tell(bool end) {
    {
      std::lock_guard lock(mutex_);
      ++told_;
      ended_ = ended_ || end;
    }
    changed_.notify_all();
    if (!armed_.exchange(false, std::memory_order_seq_cst)) return;
    // A publisher from C++ is not to wait for the GIL.
    if (PyGILState_Check()) return callWake(Gil(GilHeld()));
    root().runtime->post(qtforge::detail::Task::of([share = shared_from_this()] { share->callWake(Gil()); }));
  }

  void callWake(const Gil& gil) {
    const Ref called = Ref::steal(orStay([&] { return PyObject_CallNoArgs(wake_.get()); }));
    if (!called) Logger("qtforge.python").error(takePythonError("waking who receives", gil).message());
  }

  Message take() {
    qtforge::detail::MessageRecord* record = nullptr;
    root().bus->receive(handle_, &record, 1);
    return Message::adopt(record);
  }

  static Error lateError(double seconds) {
    char text[64];
    std::snprintf(text, sizeof text, "receive: no message came within %g s", seconds);
    return Error(Errc::TimedOut, text);
  }

  const SharedRef wake_;
  HandlerFilter filter_;
  const SharedRef owner_;  // keeps its address from being another's
  const bool envelope_;
  void* handle_ = nullptr;
  std::atomic<bool> armed_{false};  // somebody wants to be woken
  mutable std::mutex mutex_;        // guards all below
  std::condition_variable changed_;
  std::uint64_t told_ = 0;  // how often there was something new
  bool ended_ = false;
};

inline constexpr qtforge::detail::HandlerTable PythonReceiver::tables[2]{
    {&unused, nullptr, &destroy, true, &HandlerFilter::letGo, &HandlerFilter::takeBack, nullptr, &readable},
    {&unused, nullptr, &destroy, true, &HandlerFilter::letGo, &HandlerFilter::takeBack, &accepts, &readable}};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
