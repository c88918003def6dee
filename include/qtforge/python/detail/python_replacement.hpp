#pragma once
// qtforge/python/detail/python_replacement.hpp: puts a new version of a Python plugin in the place of the one that runs.

#include <qtforge/core/plugin_loader.hpp>
#include <qtforge/python/detail/bridge_services.hpp>
#include <qtforge/python/detail/python_plugin.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// What of a plugin's services goes to its next version. With the GIL.
class ServiceExchange {
 public:
  ServiceExchange(const PluginContext& old, std::shared_ptr<PluginContext> next) : old_(old), next_(std::move(next)) {}

  /// Offers what only `next` has. Errors: see IPlugin::offer.
  expected<void> offerMissing() {
    for (const auto& [name, object] : next_->heldOffers) {
      if (find(name)) {
        taken_.push_back({name, SharedRef(Ref::borrow(object.get())), {}});
        continue;
      }
      if (auto done = offerObject(next_, name, object.get()); !done) return done;
      offered_.push_back(name);
    }
    return {};
  }

  /// Looks whether `next` has what others have found in the services of both. Errors: see PythonImplementations::makeFor.
  expected<void> prepare(const Gil& gil) {
    for (auto& taken : taken_)
      if (const auto* service = find(taken.name))
        if (auto made = service->implementations_.makeFor(next_, taken.object.get(), taken.made, gil); !made)
          return made.error().within("service '" + taken.name + "'");
    return {};
  }
  [[nodiscard]] bool isComplete(const Gil& gil) const {
    return std::all_of(taken_.begin(), taken_.end(), [&](const Taken& taken) {
      const auto* service = find(taken.name);
      return !service || service->implementations_.isComplete(taken.made, gil);
    });
  }
  void take(const Gil& gil) {
    std::lock_guard lock(PythonService::mutex());
    for (auto& taken : taken_) {
      auto next = next_;
      if (auto* service = findLocked(taken.name)) service->implementations_.take(next, taken.object, taken.made, gil);
    }
  }

  void undo() {
    for (const auto& name : offered_) withdrawObject(*next_, name);
    offered_.clear();
    taken_.clear();
  }

  /// The names of those that `next` has no more.
  [[nodiscard]] std::vector<std::string> left() const {
    std::vector<std::string> names;
    std::lock_guard lock(PythonService::mutex());
    for (const auto* service : PythonService::all())
      if (service->context().get() == &old_) names.push_back(service->name_);
    return names;
  }

 private:
  struct Taken {
    std::string name;
    SharedRef object;
    PythonImplementations::Made made;
  };

  [[nodiscard]] PythonService* findLocked(std::string_view name) const {
    for (auto* service : PythonService::all())
      if (service->context().get() == &old_ && service->name_ == name) return service;
    return nullptr;
  }
  // A thread of the plugin may withdraw it at any time: then it is not found again.
  [[nodiscard]] PythonService* find(std::string_view name) const {
    std::lock_guard lock(PythonService::mutex());
    return findLocked(name);
  }

  const PluginContext& old_;
  const std::shared_ptr<PluginContext> next_;
  std::vector<Taken> taken_;
  std::vector<std::string> offered_;
};

/// One step on the plugin's lane, so that none of its queued handlers runs between the old version's last word and the first
/// message of the next.
class PythonReplacement : public std::enable_shared_from_this<PythonReplacement> {
 public:
  static expected<void> run(PythonPlugin& running, PythonPlugin& next, const ReloadStates& states) {
    auto replacement = std::make_shared<PythonReplacement>(running, next, states);
    auto done = replacement->run();
    if (!done) return done;
    next.implementations_ = replacement->implementations_;
    replacement->endOld();
    return done;
  }

  PythonReplacement(PythonPlugin& running, PythonPlugin& next, const ReloadStates& states)
      : old_(running.context_),
        next_(next.context_),
        states_(states),
        implementations_(running.implementations_) {}

 private:
  expected<void> run() {
    const auto limit = next_->hookLimit;
    next_->making.store(PluginContext::Making::UnderWay);
    // So that callers wait for the step, and not for what the lane does before.
    auto done = next_->lane->call([](const Gil&) { return expected<void>(); }, limit);
    if (done) {
      const Paused paused(*old_, std::chrono::steady_clock::now() + limit);
      if (!paused)
        return Error(Errc::TimedOut, "calls of its methods, filters and direct handlers did not end within " +
                                         std::to_string(limit.count()) + " ms");
      done = next_->lane->call([self = shared_from_this()](const Gil& gil) { return self->step(gil); }, limit);
      if (!done && done.error() == Errc::TimedOut && !next_->decide(PluginContext::Making::Abandoned)) done = {};
    }
    if (!done) next_->hookLimit = std::min(next_->hookLimit, std::chrono::milliseconds(500));  // it is not to run
    return done;
  }

  // Calls of the old version wait until it is over.
  class Paused {
   public:
    Paused(PluginContext& plugin, OutsideCalls::Deadline deadline) : plugin_(plugin) {
      const Gil gil;
      empty_ = plugin.calls.pause(deadline);
    }
    Paused(const Paused&) = delete;
    Paused& operator=(const Paused&) = delete;
    ~Paused() {
      const Gil gil;
      plugin_.calls.resume();
    }
    explicit operator bool() const noexcept { return empty_; }

   private:
    PluginContext& plugin_;
    bool empty_;
  };

  expected<void> step(const Gil& gil) {
    if (next_->making.load() == PluginContext::Making::Abandoned) return abandoned();
    const PluginScope scope(next_.get());
    ModulesInPlace modules(*next_, gil);
    auto done = handState(gil);
    bool active = false;
    if (done && states_.to == PluginState::Active) {
      done = PythonPlugin::call("activate", next_->object.get(), gil);
      active = done.has_value();
      if (!done) done = hookFailed("activate", done.error());
    }
    ServiceExchange services(*old_, next_);
    if (done) done = exchange(services, gil);
    if (done) {
      old_->modules = modules.keep();
      return done;
    }
    services.undo();
    if (active)
      if (auto back = PythonPlugin::call("deactivate", next_->object.get(), gil); !back)
        Logger("qtforge.plugins").error("plugin '" + next_->name + "': deactivate: " + back.error().report());
    endSubscriptions(*next_, gil);
    return done;
  }

  static expected<void> abandoned() { return Error(Errc::TimedOut, "its caller has given up"); }

  expected<void> exchange(ServiceExchange& services, const Gil& gil) {
    if (next_->making.load() == PluginContext::Making::Abandoned) return abandoned();
    auto& subscriptions = PythonSubscriptions::instance();
    if (auto added = subscriptions.addMissing(*old_, *next_, gil); !added) return added;
    if (auto offered = services.offerMissing(); !offered) return offered;
    PythonImplementations::Made made;
    do {
      if (auto prepared = services.prepare(gil); !prepared) return prepared;
      if (auto found = implementations_->makeFor(next_, next_->object.get(), made, gil); !found) return found;
    } while (!services.isComplete(gil) || !implementations_->isComplete(made, gil));
    // From here on nothing fails, and nothing lets the GIL go.
    if (!next_->decide(PluginContext::Making::Done)) return abandoned();
    auto context = next_;
    SharedRef object(Ref::borrow(next_->object.get()));
    implementations_->take(context, object, made, gil);
    services.take(gil);
    const auto handlers = subscriptions.handOver(*old_, *next_, gil);
    const auto offers = std::exchange(next_->heldOffers, {});
    next_->held.store(false, std::memory_order_relaxed);
    old_->replaced = true;
    next_->state.store(static_cast<int>(states_.to));
    return {};
  }

  // What save_state() of the old one returns is what restore_state() of the next gets; where one of them is missing, nothing.
  expected<void> handState(const Gil& gil) {
    if (states_.from != PluginState::Initialized && states_.from != PluginState::Active) return {};
    auto save = find(old_->object.get(), "save_state", gil), restore = find(next_->object.get(), "restore_state", gil);
    if (!save) return save.error();
    if (!restore) return restore.error();
    if (!*save || !*restore) return {};
    Ref state;
    {
      const PluginScope scope(old_.get());
      WatchedCall watched("a hook", "save_state");
      state = Ref::steal(orStay([&] { return PyObject_CallNoArgs(save->get()); }));
      watched.end();
      if (!state) return failed("save_state", watched, gil);
    }
    WatchedCall watched("a hook", "restore_state");
    const Ref taken = Ref::steal(orStay([&] { return PyObject_CallOneArg(restore->get(), state.get()); }));
    watched.end();
    return taken ? expected<void>() : failed("restore_state", watched, gil);
  }

  static Error failed(const char* hook, WatchedCall& watched, const Gil& gil) {
    return hookFailed(hook, watched.takeError("raised", gil));
  }
  static Error hookFailed(const char* hook, const Error& error) {
    return Error(Errc::HookFailed, std::string(hook) + ": " + error.message(), error.pythonType(), error.traceback());
  }

  // Null where the plugin has none.
  static expected<Ref> find(PyObject* plugin, const char* method, const Gil& gil) {
    Ref found = Ref::steal(PyObject_GetAttrString(plugin, method));
    if (!found && !PyErr_ExceptionMatches(PyExc_AttributeError)) return takePythonError(method, gil, Errc::HookFailed);
    PyErr_Clear();
    return found;
  }

  // What is not the next version's is ended, and what runs in the old one waited for.
  void endOld() {
    const auto limit = old_->hookLimit;
    PythonSubscriptions::instance().beginHeld(*next_);
    ServiceExchange services(*old_, next_);
    {
      const Gil gil;
      for (const auto& name : services.left()) withdrawObject(*old_, name);
    }
    if (!old_->lane->here()) PythonSubscriptions::instance().drain(*old_, limit);
    const Gil gil;
    if (old_->calls.waitEmpty(std::chrono::steady_clock::now() + limit)) return;
    Logger(old_->name).warning("a call of the version that was replaced has not ended within " + std::to_string(limit.count()) +
                               " ms, and is left to itself");
    [[maybe_unused]] static auto* left = new std::vector<std::shared_ptr<PluginContext>>();
    left->push_back(old_);
  }

  const std::shared_ptr<PluginContext> old_, next_;
  const ReloadStates states_;
  const std::shared_ptr<PythonImplementations> implementations_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
