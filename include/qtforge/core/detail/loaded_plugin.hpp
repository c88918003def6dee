#pragma once
// qtforge/core/detail/loaded_plugin.hpp: how a plugin's steps are carried out: hooks guarded, events told, the end.

#include <qtforge/communication/detail/process_root.hpp>
#include <qtforge/core/detail/hook_watch.hpp>
#include <qtforge/core/detail/interface_calls.hpp>
#include <qtforge/core/plugin_handle.hpp>
#include <qtforge/core/plugin_loader.hpp>
#include <qtforge/utils/log.hpp>

namespace qtforge::inline QTFORGE_ABI {

namespace detail {

struct HookScope {
  explicit HookScope(const LoadedPlugin& running) noexcept : plugin(running), outer(current) { current = this; }
  HookScope(const HookScope&) = delete;
  HookScope& operator=(const HookScope&) = delete;
  ~HookScope() { current = outer; }

  /// Whether this thread is inside a hook of `plugin`.
  [[nodiscard]] static bool isInside(const LoadedPlugin& plugin) noexcept {
    for (const auto* scope = current; scope; scope = scope->outer)
      if (&scope->plugin == &plugin) return true;
    return false;
  }

  const LoadedPlugin& plugin;
  const HookScope* outer;
  static inline thread_local const HookScope* current = nullptr;
};

}  // namespace detail

inline LoadedPlugin::LoadedPlugin(Manifest manifest, detail::Client* client, std::chrono::milliseconds watchLimit)
    : name_(manifest.name), client_(client), watchLimit_(watchLimit), body_(std::make_shared<detail::PluginBody>()) {
  label_ = "plugin '" + name_ + "'";
  body_->configuration = std::make_shared<detail::ConfigurationStore>(manifest.name, manifest.configuration);
  setFacts(detail::PluginFacts(std::move(manifest)));
}

/// What was told before stays: somebody may hold references to it.
inline void LoadedPlugin::setFacts(detail::PluginFacts facts) {
  for (const auto& known : told_)
    if (*known == facts) return facts_.store(known.get(), std::memory_order_release);
  told_.push_back(std::make_unique<const detail::PluginFacts>(std::move(facts)));
  facts_.store(told_.back().get(), std::memory_order_release);
}

/// Takes the plugin, before it is shared, and asks it for what it says of itself. Errors: see detail::askForFacts.
inline expected<void> LoadedPlugin::adopt(std::unique_ptr<IPlugin> plugin, bool named) {
  body_->adopt(std::move(plugin));
  auto facts = this->facts();
  auto described = detail::askForFacts(*body_->plugin, facts, named);
  name_ = facts.name;
  label_ = "plugin '" + name_ + "'";
  told_.clear();
  setFacts(std::move(facts));
  return described;
}

inline expected<detail::Implementation> LoadedPlugin::implementation(const detail::InterfaceInfo& wanted) {
  return detail::InterfaceQuestion::ask(*body()->plugin, wanted);
}

inline void LoadedPlugin::showInterfaces(void* taker, void (*take)(void* taker, const detail::InterfaceInfo* offered)) {
  detail::InterfaceQuestion::show(*body()->plugin, taker, take);
}

inline expected<void> LoadedPlugin::run(LifecycleStep step) {
  waitReloaded();
  if (auto begun = begin(step); !begun) return begun;
  wanted_.store(step == LifecycleStep::Activate                                              ? PluginState::Active
                : step == LifecycleStep::Initialize || step == LifecycleStep::Deactivate ? PluginState::Initialized
                                                                                             : PluginState::Loaded);
  return runHooks(step);
}

/// Waits for a reload that runs, which the host may not have asked for; not where it may be waiting for this thread.
inline void LoadedPlugin::waitReloaded() {
  if (lifecycle_.running() != LifecycleStep::Reload || detail::HookScope::isInside(*this)) return;
  if (detail::ThreadRecords::mine().serves.load(std::memory_order_relaxed)) return;
  const auto free = origin_.loader->letGo();
  waitIdle(std::chrono::steady_clock::now() + origin_.hookLimit);
}

inline expected<void> LoadedPlugin::begin(LifecycleStep step) {
  if (auto begun = lifecycle_.begin(step); !begun) return begun.error().within("plugin '" + name_ + "'");
  return {};
}

inline bool LoadedPlugin::fail(const Error& reason) {
  if (!lifecycle_.fail()) return false;
  tell({"error", reason});
  return true;
}

/// The hooks of a step that was begun, then the step's end. The first failure is returned, but cleaning goes on. A plugin
/// whose code still runs does not go: then that is the failure, and the state is Error.
inline expected<void> LoadedPlugin::runHooks(LifecycleStep step, Patience patience) {
  constexpr const char* names[] = {"initialized", "activated", "deactivated", "cleaned"};
  std::vector<Event> events;
  Error first;
  auto end = &Lifecycle::finish;
  {
    const detail::HookScope inside(*this);
    while (const auto hook = lifecycle_.next()) {
      const auto done = callHook(*hook, patience);
      lifecycle_.done(*hook, done ? Lifecycle::Outcome::Succeeded : Lifecycle::Outcome::Failed);
      if (done) {
        events.push_back({names[static_cast<std::size_t>(*hook)], {}});
      } else {
        events.push_back({"error", done.error()});
        if (first.code() == Errc::Ok) first = done.error();
      }
    }
    if (step == LifecycleStep::Unload) {
      doing_.store("destructor");
      if (auto gone = destroy(patienceAfter(first, patience)); gone) {
        events.push_back({"unloaded", {}});
      } else {
        first = gone.error().within(label_ + ": unload");
        events.push_back({"error", first});
        end = &Lifecycle::stay;
      }
    }
    doing_.store("");
  }
  endStep(end);
  for (const auto& event : events) tell(event);
  if (first.code() != Errc::Ok) return first;
  return {};
}

inline void LoadedPlugin::endStep(void (Lifecycle::*end)() noexcept) {
  {
    std::lock_guard lock(idleMutex_);
    (lifecycle_.*end)();
  }
  idle_.notify_all();
}

inline Configuration LoadedPlugin::configuration() const { return body()->configuration->values(); }

inline expected<void> LoadedPlugin::configure(const boost::json::value& values) {
  return change([&] { return body()->configuration->prepare(values); });
}

inline expected<void> LoadedPlugin::keepConfiguration(const std::filesystem::path& file) {
  return change([&] { return body()->configuration->prepareFile(file); });
}

template <class Prepare>
expected<void> LoadedPlugin::change(Prepare&& prepare) {
  waitReloaded();
  if (auto begun = begin(LifecycleStep::Configure); !begun) return begun;
  bool told = false;
  Error error;
  const auto failed = detail::guarded(detail::sinkInto(error), [&]() -> expected<void> {
    auto change = prepare();
    if (!change) return change.error();
    const bool differs = change->differs(), asked = state() == PluginState::Initialized || state() == PluginState::Active;
    if (differs && asked)
      if (auto taken = offer(change->before, change->after); !taken) return taken;
    told = differs;
    return body()->configuration->commit(std::move(*change));
  });
  endStep();
  if (told) tell({"configured", {}});
  if (failed == 0) return {};
  return error.within("plugin '" + name_ + "'");
}

/// Asks the plugin whether it takes new settings.
inline expected<void> LoadedPlugin::offer(const Configuration& before, const Configuration& after) {
  const detail::HookScope inside(*this);
  doing_.store("onConfigChanged");
  const detail::HookWatch watch(name_, "onConfigChanged", watchLimit_);
  Error error;
  const auto failed = detail::guarded(detail::sinkInto(error), [&] { return body()->plugin->onConfigChanged(before, after); });
  doing_.store("");
  if (failed == 0) return watch.inTime();
  auto reason = error.message();
  if (reason.empty()) reason = "it does not say why";
  return failure("it refuses the new settings: " + reason, error);
}

inline expected<void> LoadedPlugin::callHook(LifecycleHook hook, Patience patience) {
  doing_.store(toString(hook).data());
  if (hook == LifecycleHook::Initialize) detail::beginInitialized(*client_);
  auto done = callHook(hook, *body()->plugin);
  if (hook != LifecycleHook::Cleanup) return done;
  auto ended = detail::endInitialized(*client_, endOf(patienceAfter(done ? Error() : done.error(), patience)));
  if (ended) return done;
  ended = ended.error().within(label_ + ": cleanup");
  if (done) return ended;
  detail::pluginLogger().error(ended.error().message());
  return done;
}

/// How long its handlers may take to end: no longer once more, if what came before took all of its time.
inline LoadedPlugin::Patience LoadedPlugin::patienceAfter(const Error& first, Patience patience) {
  if (patience && first == Errc::TimedOut) return std::min(*patience, std::chrono::milliseconds(500));
  return patience;
}

inline detail::Deadline LoadedPlugin::endOf(Patience patience) {
  return patience ? std::chrono::steady_clock::now() + *patience : detail::Deadline::max();
}

/// Of its plugin, or of one that is to be in that one's place.
inline expected<void> LoadedPlugin::callHook(LifecycleHook hook, IPlugin& plugin) const {
  const detail::HookWatch watch(name_, toString(hook), watchLimit_);
  Error error;
  const auto failed = detail::guarded(
      detail::sinkInto(error), [&] { return detail::PluginLife::run(plugin, static_cast<detail::PluginHook>(hook)); });
  if (detail::timingEnabled().load(std::memory_order_relaxed)) {
    const auto took = std::chrono::steady_clock::now() - watch.begin();
    detail::pluginLogger().debug(label_ + ": " + std::string(toString(hook)) + " took " + detail::shownDuration(took));
  }
  if (failed == 0) return watch.inTime();
  auto reason = error.message();
  if (reason.empty()) reason = "failed without saying why";
  return failure("plugin '" + name_ + "': " + std::string(toString(hook)) + ": " + reason, error);
}

/// What a hook's own error is for its caller.
inline Error LoadedPlugin::failure(std::string text, const Error& error) const {
  const bool late = watchLimit_.count() == 0 && error == Errc::TimedOut;
  return Error(late ? Errc::TimedOut : Errc::HookFailed, std::move(text), error.pythonType(), error.traceback());
}

/// Ends an Unload that was begun, before any hook: the plugin stays as it was.
inline void LoadedPlugin::abandon() { endStep(&Lifecycle::abandon); }

/// Ends what the plugin subscribed and started, then the plugin itself. Its code may still publish and log in the end.
/// @return nothing, or Errc::TimedOut, and the plugin is there: its code runs, and nobody can make it go
inline expected<void> LoadedPlugin::destroy(Patience patience) {
  if (auto ended = detail::closeClient(client_, endOf(patience)); !ended) return ended;
  body()->end();
  return {};
}

inline void LoadedPlugin::tell(const Event& event) const {
  if (event.error.code() == Errc::Ok) return detail::tellOfPlugin(name_, event.what);
  detail::pluginLogger().error(event.error.report());
  detail::tellOfPlugin(name_, event.what, event.error.message(), event.error.traceback());
}

}  // namespace qtforge::inline QTFORGE_ABI
