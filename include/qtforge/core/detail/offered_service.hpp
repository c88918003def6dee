#pragma once
// qtforge/core/detail/offered_service.hpp: an object that a plugin offers under a name, as others call it.

#include <qtforge/core/detail/callee.hpp>
#include <qtforge/core/detail/plugin_services.hpp>
#include <qtforge/core/plugin_handle.hpp>

#include <string>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

class OfferedService final : public Callee {
 public:
  OfferedService(boost::intrusive_ptr<LoadedPlugin> owner, std::string name, const OfferedObject& object)
      : owner_(std::move(owner)), name_(std::move(name)), object_(object) {
    label_ = "service '" + name_ + "' of " + owner_->label();
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] LoadedPlugin& plugin() noexcept override { return *owner_; }
  [[nodiscard]] const OfferedObject* object() const noexcept override { return &object_; }

  [[nodiscard]] expected<Implementation> implementation(const InterfaceInfo& wanted) override {
    Implementation found;
    Error error;
    if (object_.implementation(object_.self, &wanted, &found, sinkInto(error)) != 0) return error;
    return found;
  }
  void showInterfaces(void* taker, void (*take)(void* taker, const InterfaceInfo* offered)) override {
    object_.showInterfaces(object_.self, taker, take);
  }

  ~OfferedService() override { end(); }

  /// Whether the object lives until end(), or else until the last reference goes.
  [[nodiscard]] bool ownsObject() const noexcept { return object_.destroy != nullptr; }

  /// Of a closed gate that nobody is inside of.
  void end() {
    if (auto* destroy = std::exchange(object_.destroy, nullptr)) destroy(object_.self);
  }

 private:
  const boost::intrusive_ptr<LoadedPlugin> owner_;
  const std::string name_;
  OfferedObject object_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
