#pragma once
// qtforge/core/detail/live_managers.hpp: the managers that have loaded something, for the end of the process.

#include <qtforge/core/detail/library.hpp>
#include <qtforge/core/detail/manager_core.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Never destroyed, so that managers at namespace scope, static in functions or leaked are all found. The shutdown
/// unloads what they hold; their destructors find nothing left to do.
class LiveManagers {
 public:
  static LiveManagers& instance() {
    static auto* managers = new LiveManagers();
    return *managers;
  }

  /// Before the first load of each manager. @return nothing, or Errc::ShuttingDown
  expected<void> add(const std::shared_ptr<ManagerCore>& manager) {
    std::lock_guard lock(mutex_);
    if (ended_) return Error(Errc::ShuttingDown, "the process is ending: no plugin is loaded any more");
    std::erase_if(managers_, [](const auto& known) { return known.expired(); });
    for (const auto& known : managers_)
      if (known.lock() == manager) return {};
    managers_.push_back(manager);
    return {};
  }

  /// The plugin or service of that name in whatever manager, the last made first. Errors: as PluginManager::find.
  expected<CalleeRef> findCallee(std::string_view name) {
    std::vector<std::weak_ptr<ManagerCore>> managers;
    {
      std::lock_guard lock(mutex_);
      managers = managers_;
    }
    Error error(Errc::PluginNotFound, "no plugin '" + std::string(name) + "' is loaded");
    for (auto weak = managers.rbegin(); weak != managers.rend(); ++weak)
      if (const auto manager = weak->lock()) {
        auto found = manager->findCallee(name);
        if (found) return found;
        error = found.error();
      }
    return error;
  }

 private:
  LiveManagers() {
    processRoot().shutdown().add(ShutdownPhase::Plugins, [this](Deadline deadline) { return endAll(deadline); });
  }

  std::vector<std::string> endAll(Deadline deadline) {
    std::vector<std::weak_ptr<ManagerCore>> managers;
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
      managers.swap(managers_);
    }
    OpenFiles::instance().keepMapped();
    // Python and the threads come after: they need some of the time too.
    const auto now = std::chrono::steady_clock::now();
    const auto own = now + (deadline - now) * 3 / 4;
    std::vector<std::string> stuck;
    for (auto weak = managers.rbegin(); weak != managers.rend(); ++weak)
      if (const auto manager = weak->lock())
        for (auto& name : manager->close(own, Ending::Process)) stuck.push_back(std::move(name));
    return stuck;
  }

  std::mutex mutex_;  // guards all below
  std::vector<std::weak_ptr<ManagerCore>> managers_;
  bool ended_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
