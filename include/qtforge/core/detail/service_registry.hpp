#pragma once
// qtforge/core/detail/service_registry.hpp: the services that a manager's plugins offer.

#include <qtforge/core/detail/offered_service.hpp>
#include <qtforge/core/detail/plugin_events.hpp>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// @par Thread safety  any thread. Its lock is a leaf.
class ServiceRegistry {
 public:
  using Service = boost::intrusive_ptr<OfferedService>;

  void add(Service service) {
    std::lock_guard lock(mutex_);
    services_.push_back(std::move(service));
  }

  /// Nobody comes in any more. Waits for who is inside where the owner ends the object, but for a call that this is called
  /// from.
  void withdraw(const LoadedPlugin& owner, std::string_view name) {
    const auto gone = take(owner, name);
    if (!gone) return;
    auto& gate = gone->gate();
    gate.close();
    const auto own = gate.ownCall();
    if (own && !gone->ownsObject())
      return pluginLogger().warning(gone->label() + " is withdrawn from inside its " + *own + ", which goes on");
    const auto patience = gone->ownsObject() ? std::chrono::seconds(0) : std::chrono::seconds(2);
    if (!gate.waitEmpty(std::chrono::steady_clock::now() + patience)) {
      if (gone->ownsObject()) return;  // it goes with the last who is inside
      pluginLogger().warning(gone->label() + " is withdrawn, and waits for " + gate.inside());
      gate.waitEmpty(std::nullopt);
    }
    gone->end();
  }

  /// In the order in which they were offered.
  [[nodiscard]] std::vector<Service> all() const {
    std::lock_guard lock(mutex_);
    return services_;
  }

  /// The first for which `wanted` is true, else null.
  template <class F>
  [[nodiscard]] Service find(F&& wanted) const {
    std::lock_guard lock(mutex_);
    const auto found = std::find_if(services_.begin(), services_.end(), [&](const auto& service) { return wanted(*service); });
    return found == services_.end() ? Service() : *found;
  }

 private:
  Service take(const LoadedPlugin& owner, std::string_view name) {
    std::lock_guard lock(mutex_);
    const auto found = std::find_if(services_.begin(), services_.end(), [&](const auto& service) {
      return service->name() == name && &service->plugin() == &owner;
    });
    if (found == services_.end()) return {};
    auto taken = std::move(*found);
    services_.erase(found);
    return taken;
  }

  mutable std::mutex mutex_;  // guards services_
  std::vector<Service> services_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
