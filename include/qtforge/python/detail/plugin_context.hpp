#pragma once
// qtforge/python/detail/plugin_context.hpp: what is known of a Python plugin, and that a thread runs its code.

#include <qtforge/python/detail/outside_calls.hpp>
#include <qtforge/python/lane.hpp>
#include <qtforge/python/ref.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {
class Client;
class ConfigurationStore;  // core/detail/configuration_store.hpp
struct PluginServices;     // core/detail/plugin_services.hpp
}

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// What a plugin says of itself; what it leaves to its manifest is empty when it comes from the plugin.
struct PluginTexts {
  std::string name, version, description, author;
  std::vector<std::string> dependencies;
};

/// What the library knows of one Python plugin; shared by its adapter, its handlers and the calls that run.
struct PluginContext : std::enable_shared_from_this<PluginContext> {
  enum class Making { UnderWay, Done, Abandoned };

  const std::uint64_t number = next();  // unique in the process
  std::string name;  // the manifest's
  const char* lastingName = nullptr;  // the same, for good
  PluginTexts texts;  // the plugin's, else the manifest's; unchanged once it is shared
  std::string folder, dataFolder;  // absolute; the second may be empty
  std::vector<std::string> interfaces;  // that the manifest declares
  std::chrono::milliseconds hookLimit{0};  // how long callers wait
  const qtforge::detail::PluginServices* services = nullptr;  // until the plugin is destroyed
  qtforge::detail::Client* client = nullptr;
  std::shared_ptr<const qtforge::detail::ConfigurationStore> configuration;
  Lane* lane = nullptr;
  std::atomic<int> state{1};  // PluginState, for Python's IPlugin.state()
  std::shared_ptr<void> environment;  // what it has of the process, until its modules have gone
  SharedRef object;           // the plugin; set once, before it is shared
  std::atomic<Making> making{Making::UnderWay};
  std::atomic<int> offences{0};  // since `initialize` was called; see mostOffences
  OutsideCalls calls;
  // Of a version that is loaded beside the one that runs. Both change under the GIL.
  std::atomic<bool> held{false};  // what it subscribes and offers waits for its turn
  std::atomic<bool> replaced{false};  // another version is in its place
  [[nodiscard]] bool isInPlace() const noexcept {
    return !held.load(std::memory_order_relaxed) && !replaced.load(std::memory_order_relaxed);
  }
  SharedRef modules;  // a dict: its own, while those in sys.modules are another version's
  std::vector<std::pair<std::string, SharedRef>> heldOffers;

  static std::uint64_t next() noexcept {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
  }

  /// Decides, for the lane that makes the plugin and the caller that waits no longer, which of them was first.
  bool decide(Making outcome) noexcept {
    auto underWay = Making::UnderWay;
    return making.compare_exchange_strong(underWay, outcome);
  }
};

/// Marks that this thread runs code of a plugin.
class PluginScope {
 public:
  explicit PluginScope(PluginContext* context) noexcept : context_(context), outer_(top_) { top_ = this; }
  PluginScope(const PluginScope&) = delete;
  PluginScope& operator=(const PluginScope&) = delete;
  ~PluginScope() { top_ = outer_; }

  [[nodiscard]] static PluginContext* current() noexcept { return top_ ? top_->context_ : nullptr; }

  /// Whether this thread runs code of that plugin, maybe further out.
  [[nodiscard]] static bool isInside(const PluginContext& plugin) noexcept {
    for (const auto* scope = top_; scope; scope = scope->outer_)
      if (scope->context_ == &plugin) return true;
    return false;
  }

 private:
  PluginContext* context_;
  const PluginScope* outer_;
  static inline thread_local const PluginScope* top_ = nullptr;
};

/// Waits, the GIL released, while `plugin` is being replaced, which changes it; not where the replacing may wait for this
/// thread. With the GIL.
[[gnu::always_inline]] inline void awaitReplacement(const std::shared_ptr<PluginContext>& plugin) {
  while (plugin && plugin->calls.paused() && !plugin->lane->here() && !PluginScope::isInside(*plugin)) [[unlikely]] {
    const auto kept = plugin;
    kept->calls.waitResumed();
  }
}

/// Marks, under the GIL, that this thread calls into a plugin without its lane.
class OutsideCall {
 public:
  /// @param plugin  may be null
  explicit OutsideCall(PluginContext* plugin) noexcept : plugin_(plugin) {
    if (plugin_) plugin_->calls.enter();
  }
  OutsideCall(const OutsideCall&) = delete;
  OutsideCall& operator=(const OutsideCall&) = delete;
  ~OutsideCall() {
    if (plugin_) plugin_->calls.leave();
  }

 private:
  PluginContext* plugin_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
