#pragma once
// qtforge/core/detail/dormant_plugins.hpp: plugins that are loaded when they are first used.

#include <qtforge/communication/bus.hpp>
#include <qtforge/communication/detail/backlog.hpp>
#include <qtforge/core/detail/bounded_end.hpp>
#include <qtforge/core/detail/plugin_events.hpp>
#include <qtforge/core/manifest.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// What is published on a topic that wakes a plugin is kept for the subscriptions that it then makes.
///
/// @par Thread safety  any thread. Nothing is called with the lock.
class DormantPlugins {
 public:
  /// Loads, initializes and activates it.
  using BringUp = std::function<expected<void>(const std::shared_ptr<Backlog>& backlog)>;
  /// Has wake() called on a thread of the runtime.
  using WakeSoon = std::function<void()>;

  void add(const Manifest& manifest, BringUp bringUp, const WakeSoon& wakeSoon) {
    const auto plugin = std::make_shared<Dormant>();
    plugin->name = manifest.name;
    plugin->interfaces = manifest.activation.interfaces;
    plugin->bringUp = std::move(bringUp);
    {
      std::lock_guard lock(mutex_);
      dormant_.push_back(plugin);
    }
    std::vector<Subscription> triggers;
    for (const auto& pattern : manifest.activation.topics) {
      auto trigger = MessageBus::instance().subscribe(
          pattern,
          [name = plugin->name, backlog = plugin->backlog, called = plugin->called, wakeSoon,
           full = std::make_shared<std::atomic<bool>>(false)](const Message& message) {
            if (!backlog->add(message) && !full->exchange(true))
              pluginLogger().error("plugin '" + name + "' is not there yet, and " + std::to_string(Backlog::capacity) +
                                   " messages wait for it: more are lost");
            if (!called->exchange(true)) wakeSoon();
          },
          {.delivery = DeliveryMode::Direct, .retained = false});
      if (trigger) triggers.push_back(std::move(*trigger));
      else pluginLogger().error("plugin '" + plugin->name + "': activation: " + trigger.error().message());
    }
    std::lock_guard lock(mutex_);
    if (plugin->stage != Stage::Gone) plugin->triggers = std::move(triggers);  // else it needs them no more
  }

  [[nodiscard]] bool contains(std::string_view name) const {
    std::lock_guard lock(mutex_);
    return find(name) != nullptr;
  }

  /// Brings a plugin up, if it is one of these. Waits for another thread that does.
  ///
  /// @return nothing, also if it is none of these, or
  ///   - Errc::WouldDeadlock  another thread does, and this one must not wait for it
  ///   - the errors of the load, and of the hooks
  expected<void> wake(std::string_view name) {
    std::unique_lock lock(mutex_);
    const auto plugin = find(name);
    if (!plugin) return {};
    if (plugin->stage == Stage::Waking) {
      if (plugin->waker == std::this_thread::get_id()) return {};  // asked for by its own code, or by what it needs
      if (isInsideCallback() || ThreadRecords::mine().serves.load() != nullptr)
        return Error(Errc::WouldDeadlock, "plugin '" + plugin->name + "' is being activated by another thread, for which this one "
                                                                      "cannot wait");
      woken_.wait(lock, [&] { return plugin->stage == Stage::Gone; });
      return plugin->result;
    }
    plugin->stage = Stage::Waking;
    plugin->waker = std::this_thread::get_id();
    lock.unlock();
    plugin->result = plugin->bringUp(plugin->backlog);
    forget(*plugin);
    if (const auto lost = plugin->backlog->unmatched())
      pluginLogger().warning("plugin '" + plugin->name + "': of the messages that have come while it was not there, " +
                             std::to_string(lost) + " went to none of its subscriptions");
    if (const auto lost = plugin->backlog->refused())
      pluginLogger().error("plugin '" + plugin->name + "': while it was not there up to " + std::to_string(lost) +
                           " messages were lost");
    return plugin->result;
  }

  /// Those that say that they implement the interface.
  [[nodiscard]] std::vector<std::string> waitingFor(std::string_view interface) const {
    std::vector<std::string> names;
    std::lock_guard lock(mutex_);
    for (const auto& plugin : dormant_)
      if (std::any_of(plugin->interfaces.begin(), plugin->interfaces.end(), [&](const auto& named) { return isVersionOf(interface, named); }))
        names.push_back(plugin->name);
    return names;
  }

  /// Lets one go that was never woken. False: it is none of these any more, or is being woken.
  bool remove(std::string_view name) {
    std::shared_ptr<Dormant> plugin;
    {
      std::lock_guard lock(mutex_);
      plugin = find(name);
      if (!plugin || plugin->stage != Stage::Dormant) return false;
      plugin->stage = Stage::Waking;
    }
    forget(*plugin);
    return true;
  }

  /// Lets all go that were never woken.
  void clear() {
    std::vector<std::string> names;
    {
      std::lock_guard lock(mutex_);
      for (const auto& plugin : dormant_) names.push_back(plugin->name);
    }
    for (const auto& name : names) remove(name);
  }

 private:
  enum class Stage { Dormant, Waking, Gone };

  struct Dormant {
    std::string name;
    std::vector<std::string> interfaces;
    BringUp bringUp;
    std::shared_ptr<Backlog> backlog = std::make_shared<Backlog>();
    std::shared_ptr<std::atomic<bool>> called = std::make_shared<std::atomic<bool>>(false);
    std::vector<Subscription> triggers;
    Stage stage = Stage::Dormant;
    std::thread::id waker;
    expected<void> result;
  };

  /// "image.filter" names each "image.filter/1".
  static bool isVersionOf(std::string_view interface, std::string_view named) {
    return interface == named || (interface.starts_with(named) && interface.substr(named.size()).starts_with('/'));
  }

  [[nodiscard]] std::shared_ptr<Dormant> find(std::string_view name) const {
    const auto found = std::find_if(dormant_.begin(), dormant_.end(), [&](const auto& plugin) { return plugin->name == name; });
    return found == dormant_.end() ? nullptr : *found;
  }

  void forget(Dormant& plugin) {
    std::vector<Subscription> triggers;
    {
      std::lock_guard lock(mutex_);
      triggers.swap(plugin.triggers);
    }
    triggers.clear();  // waits for their calls
    std::lock_guard lock(mutex_);
    plugin.stage = Stage::Gone;
    std::erase_if(dormant_, [&](const auto& known) { return known.get() == &plugin; });
    woken_.notify_all();
  }

  mutable std::mutex mutex_;  // guards all below; what a plugin's result and backlog are, its waker knows
  std::condition_variable woken_;
  std::vector<std::shared_ptr<Dormant>> dormant_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
