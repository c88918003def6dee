#pragma once
// qtforge/python/detail/log_subscription.hpp: Python functions that see the host's log.

#include <qtforge/python/detail/interpreter.hpp>

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// A function that is called on its plugin's lane with what is logged, so that nobody who logs waits for Python. What is
/// logged while such a function runs, by its thread, is shown to none of them: no line leads to another.
class LogSubscription : public std::enable_shared_from_this<LogSubscription> {
 public:
  static constexpr std::size_t capacity = 10'000;  // records that wait

  /// @param plugin    may be null
  /// @param function  called as Bridge::logSubscribe says
  LogSubscription(std::shared_ptr<PluginContext> plugin, Lane& lane, PyObject* function, LogLevel least)
      : plugin_(std::move(plugin)), lane_(lane), function_(Ref::borrow(function)), least_(least) {}

  [[nodiscard]] const PluginContext* plugin() const noexcept { return plugin_.get(); }

  /// While it lives, what the thread logs is known to the standard logging.
  class OfLogging {
   public:
    OfLogging() noexcept : outer_(std::exchange(ofLogging_, true)) {}
    OfLogging(const OfLogging&) = delete;
    OfLogging& operator=(const OfLogging&) = delete;
    ~OfLogging() { ofLogging_ = outer_; }

   private:
    bool outer_;
  };

  /// No call begins any more; one that runs on another thread is not waited for.
  void end() noexcept { ended_.store(true, std::memory_order_release); }

  /// On the thread that logs.
  void take(const LogRecord& record) {
    if (telling_ || record.level < least_ || ended_.load(std::memory_order_acquire)) return;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.size() >= capacity) {
        ++lost_;
        return;
      }
      waiting_.push_back({record.level, std::string(record.logger), std::string(record.message),
                          std::string(record.file), record.line, record.time, ofLogging_});
      if (std::exchange(onItsWay_, true)) return;
    }
    lane_.post(qtforge::detail::Task::of([self = shared_from_this()] { self->tell(); }));
  }

 private:
  struct Held {
    LogLevel level;
    std::string logger, message, file;
    std::uint32_t line;
    std::chrono::system_clock::time_point time;
    bool ofLogging = false;
  };

  struct Telling {
    Telling() noexcept { telling_ = true; }
    Telling(const Telling&) = delete;
    Telling& operator=(const Telling&) = delete;
    ~Telling() { telling_ = false; }
  };

  std::deque<Held> next() {
    const std::lock_guard lock(mutex_);
    onItsWay_ = false;
    auto records = std::exchange(waiting_, {});
    if (const auto lost = std::exchange(lost_, 0); lost > 0)
      records.push_back({LogLevel::Warning, "qtforge.log", std::to_string(lost) + " lines of the log were not shown here: "
                         "they came faster than this function takes them", "", 0, std::chrono::system_clock::now(), false});
    return records;
  }

  // Whatever bytes were logged.
  static Ref shown(const std::string& text) {
    return Ref::steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
  }

  void tell() {
    const auto records = next();
    const Gil gil;
    const PluginScope scope(plugin_.get());
    const Telling telling;
    for (const auto& record : records) {
      if (ended_.load(std::memory_order_acquire)) return;
      const Ref logger = shown(record.logger), message = shown(record.message), file = shown(record.file);
      const double time = std::chrono::duration<double>(record.time.time_since_epoch()).count();
      const Ref done = Ref::steal(logger && message && file ? orStay([&] {
        return PyObject_CallFunction(function_.get(), "iOOOIdO", static_cast<int>(record.level), logger.get(), message.get(),
                                     file.get(), static_cast<unsigned>(record.line), time,
                                     record.ofLogging ? Py_True : Py_False);
      }) : nullptr);
      if (done) continue;
      const auto report = takePythonError("a function that sees the log", gil).report();
      const GilRelease released;  // a sink may wait
      Logger(plugin_ ? plugin_->name : "qtforge.python").error(report);
    }
  }

  static inline thread_local bool telling_ = false;
  static inline thread_local bool ofLogging_ = false;

  const std::shared_ptr<PluginContext> plugin_;
  Lane& lane_;
  const SharedRef function_;
  const LogLevel least_;
  std::atomic<bool> ended_{false};
  std::mutex mutex_;  // guards all below; a leaf
  std::deque<Held> waiting_;
  std::uint64_t lost_ = 0;
  bool onItsWay_ = false;  // a call of tell()
};

/// All of them, by number.
class LogSubscriptions {
 public:
  static LogSubscriptions& instance() {
    static auto* subscriptions = new LogSubscriptions();
    return *subscriptions;
  }

  std::uint64_t add(std::shared_ptr<LogSubscription> subscription) {
    const auto number = log().addTap([subscription](const LogRecord& record) { subscription->take(record); });
    const std::lock_guard lock(mutex_);
    entries_.emplace(number, std::move(subscription));
    return number;
  }

  /// Call without the GIL, as the next. @return whether there was one
  bool end(std::uint64_t number) {
    return endThose([&](std::uint64_t known, const LogSubscription&) { return known == number; });
  }
  void endOf(const PluginContext& plugin) {
    endThose([&](std::uint64_t, const LogSubscription& subscription) { return subscription.plugin() == &plugin; });
  }

 private:
  static qtforge::detail::LogCore& log() noexcept { return qtforge::detail::processRoot().log(); }

  template <class Wanted>
  bool endThose(Wanted&& wanted) {
    std::map<std::uint64_t, std::shared_ptr<LogSubscription>> taken;
    {
      const std::lock_guard lock(mutex_);
      for (auto at = entries_.begin(); at != entries_.end();) {
        const auto entry = at++;
        if (wanted(entry->first, *entry->second)) taken.insert(entries_.extract(entry));
      }
    }
    for (const auto& [number, subscription] : taken) {
      subscription->end();
      log().removeTap(number);
    }
    return !taken.empty();
  }

  std::mutex mutex_;  // guards entries_; a leaf
  std::map<std::uint64_t, std::shared_ptr<LogSubscription>> entries_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
