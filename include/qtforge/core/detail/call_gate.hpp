#pragma once
// qtforge/core/detail/call_gate.hpp: who is inside a plugin's methods, so that it is not unloaded under them.

#include <qtforge/utils/error.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// What a caller does inside, for reports.
struct CallSite {
  std::string_view interface, method;  // no method: a guard
};

/// Lets callers in until it is closed, and knows who is inside.
///
/// Each caller takes a place of its own, so that threads which call one plugin do not wait for one cache line.
/// @par Thread safety  any thread.
class CallGate {
 public:
  /// A caller's stay inside. Empty if the gate was closed.
  class Pin {
   public:
    Pin() noexcept = default;
    Pin(CallGate& gate, const CallSite& site) noexcept {
      if (gate.enter(site, place_)) gate_ = &gate;
    }
    Pin(Pin&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)), place_(other.place_) {}
    Pin& operator=(Pin&& other) noexcept {
      std::swap(gate_, other.gate_);
      std::swap(place_, other.place_);
      return *this;
    }
    ~Pin() {
      if (gate_) gate_->leave(place_);
    }
    [[nodiscard]] explicit operator bool() const noexcept { return gate_ != nullptr; }

   private:
    CallGate* gate_ = nullptr;
    std::uint32_t place_ = 0;
  };

  CallGate() = default;
  CallGate(const CallGate&) = delete;
  CallGate& operator=(const CallGate&) = delete;

  /// From here on nobody comes in.
  void close() noexcept { closed_.store(true); }
  void open() noexcept { closed_.store(false); }

  /// Of a closed gate: waits until nobody is inside. @return false at the deadline; without one it waits for ever
  bool waitEmpty(std::optional<std::chrono::steady_clock::time_point> deadline) {
    std::unique_lock lock(mutex_);
    const auto empty = [this] { return isEmpty(); };
    if (deadline) return left_.wait_until(lock, *deadline, empty);
    left_.wait(lock, empty);
    return true;
  }

  /// The method that the calling thread is inside of, if there is one.
  [[nodiscard]] std::optional<std::string> ownCall() const {
    for (const auto& place : places_) {
      const auto* site = place.site.load();
      if (site && !site->method.empty() && place.thread.load(std::memory_order_relaxed) == self()) return describe(*site);
    }
    return std::nullopt;
  }

  /// "apply() on thread 4711 \"camera\", a guard of image.filter/1 taken on thread 4712 \"main\""
  [[nodiscard]] std::string inside() const {
    std::string text;
    for (const auto& place : places_) {
      const auto* site = place.site.load();
      if (!site) continue;
      const auto thread = place.thread.load(std::memory_order_relaxed);
      text += (text.empty() ? "" : ", ") + describe(*site) + (site->method.empty() ? " taken" : "") + " on thread " +
              std::to_string(thread) + nameOf(thread);
    }
    if (const auto others = others_.load()) text += (text.empty() ? "" : ", ") + std::to_string(others) + " more";
    return text;
  }

 private:
  static constexpr std::uint32_t placeCount = 16;

  struct alignas(64) Place {
    std::atomic<const CallSite*> site{nullptr};
    std::atomic<std::int32_t> thread{0};
  };

  static std::int32_t self() noexcept {
    static thread_local std::int32_t id = 0;
    if (id == 0) id = ::gettid();
    return id;
  }

  static std::string nameOf(std::int32_t thread) {
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/comm");
    std::string name;
    return std::getline(file, name) ? " \"" + name + '"' : std::string();
  }

  static std::string describe(const CallSite& site) {
    if (site.method.empty()) return "a guard of " + std::string(site.interface);
    return std::string(site.method) + "()";
  }

  // Either the closer sees who came in, or who comes in sees that it is closed: both write, then read, all in one order.
  bool enter(const CallSite& site, std::uint32_t& taken) noexcept {
    const auto thread = self();
    const auto first = static_cast<std::uint32_t>(thread);
    taken = placeCount;
    for (std::uint32_t i = 0; i < placeCount; ++i) {
      auto& place = places_[(first + i) % placeCount];
      const CallSite* none = nullptr;
      if (place.site.load(std::memory_order_relaxed) || !place.site.compare_exchange_strong(none, &site)) continue;
      place.thread.store(thread, std::memory_order_relaxed);
      taken = (first + i) % placeCount;
      break;
    }
    if (taken == placeCount) others_.fetch_add(1);
    if (!closed_.load()) [[likely]]
      return true;
    leave(taken);
    return false;
  }

  void leave(std::uint32_t taken) noexcept {
    if (taken == placeCount) others_.fetch_sub(1);
    else places_[taken].site.exchange(nullptr);
    if (!closed_.load()) [[likely]]
      return;
    // The gate outlives this: whoever calls holds its plugin.
    std::lock_guard lock(mutex_);
    left_.notify_all();
  }

  [[nodiscard]] bool isEmpty() const noexcept {
    for (const auto& place : places_)
      if (place.site.load()) return false;
    return others_.load() == 0;
  }

  std::array<Place, placeCount> places_;
  std::atomic<std::uint32_t> others_{0};  // who found no place
  std::atomic<bool> closed_{false};
  std::mutex mutex_;  // pairs with left_
  std::condition_variable left_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
