#pragma once
// qtforge/core/detail/callee.hpp: what is called by interfaces, a plugin or a service, seen from whatever binary.

#include <qtforge/core/detail/call_gate.hpp>
#include <qtforge/core/detail/interface_info.hpp>

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <atomic>
#include <cstdint>
#include <string>

namespace qtforge::inline QTFORGE_ABI {
class LoadedPlugin;
}

namespace qtforge::inline QTFORGE_ABI::detail {

struct OfferedObject;

/// Made by the host; native plugins hold references and enter the gate.
///
/// @par Thread safety  any thread.
class Callee {
 public:
  Callee(const Callee&) = delete;
  Callee& operator=(const Callee&) = delete;

  /// "plugin 'Blur'": for errors.
  [[nodiscard]] const std::string& label() const noexcept { return label_; }

  // ---- For the library's own use ----

  [[nodiscard]] CallGate& gate() noexcept { return gate_; }
  [[nodiscard]] const CallGate& gate() const noexcept { return gate_; }

  /// The plugin that it is, or that offers it.
  [[nodiscard]] virtual LoadedPlugin& plugin() noexcept = 0;
  /// The object of a service; null for a plugin.
  [[nodiscard]] virtual const OfferedObject* object() const noexcept { return nullptr; }

  /// How to call an interface, as long as the callee is there. For who is inside the gate. Errors: see PluginManager::find.
  [[nodiscard]] virtual expected<Implementation> implementation(const InterfaceInfo& wanted) = 0;
  /// Shows the interfaces that it describes itself. For who is inside the gate.
  virtual void showInterfaces(void* taker, void (*take)(void* taker, const InterfaceInfo* offered)) = 0;

  friend void intrusive_ptr_add_ref(const Callee* callee) noexcept {
    callee->references_.fetch_add(1, std::memory_order_relaxed);
  }
  friend void intrusive_ptr_release(const Callee* callee) noexcept {
    if (callee->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete callee;
  }

 protected:
  Callee() = default;
  virtual ~Callee() = default;

  std::string label_;  // unchanged once the callee is shared

 private:
  mutable std::atomic<std::uint32_t> references_{0};
  CallGate gate_;
};

using CalleeRef = boost::intrusive_ptr<Callee>;

/// Inside a callee's gate, or not: then it is gone.
class Visit {
 public:
  /// @param site  what the caller does, for reports; it lives longer than this
  Visit(CalleeRef callee, const CallSite& site) noexcept : callee_(std::move(callee)), pin_(callee_->gate(), site) {}

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(pin_); }
  [[nodiscard]] Callee* operator->() const noexcept { return callee_.get(); }

 private:
  CalleeRef callee_;  // before pin_, which ends first
  CallGate::Pin pin_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
