#pragma once
// qtforge/python/python_plugin_loader.hpp: loads plugins written in Python: folders whose plugin.json says "python".

#include <qtforge/core/plugin_loader.hpp>
#include <qtforge/python/detail/bridge_plugins.hpp>
#include <qtforge/python/detail/package.hpp>
#include <qtforge/python/detail/plugin_environment.hpp>
#include <qtforge/python/detail/python_replacement.hpp>

namespace qtforge::inline QTFORGE_ABI::python {

/// For PluginManager::addLoader, once Python is initialized.
class PythonPluginLoader final : public IPluginLoader {
 public:
  [[nodiscard]] std::string_view language() const override { return "python"; }

  [[nodiscard]] bool keepsHookLimit() const override { return true; }

  [[nodiscard]] std::shared_ptr<void> letGo() const override { return std::make_shared<GilRelease>(); }

  /// Imports the entry point as `qtforge_plugins.<name>.<file>` and makes the object of `main_class` (without one: of
  /// `create_plugin()`, else of the only IPlugin class in it), on the plugin's lane. The folder's modules are the
  /// plugin's own: `import helper` finds its helper.py, not a neighbour's. Before, it gets the environment of its
  /// `python_config`, until it is unloaded, and its `python_requirements` are checked against what it would import; see
  /// PythonConfig::installMissing.
  ///
  /// @return the plugin, or
  ///   - Errc::PythonNotInitialized
  ///   - Errc::PackageMissing      the environment has no package `qtforge` and no copy lies with the headers
  ///   - Errc::EntryPointInvalid   as resolveEntryPoint
  ///   - Errc::ManifestInvalid     a requirement that is none; a folder of `python_config` outside the plugin's
  ///   - Errc::PythonNotFound, Errc::PythonMismatch  an `interpreter` or `virtual_env` that is not there, or of another Python
  ///   - Errc::PluginIncompatible  another plugin has set an environment variable to another value
  ///   - Errc::DependencyMissing, Errc::DependencyVersion  the requirements that are not met, all of them, or packages of
  ///                               `virtual_env` in other versions than the process's; Errc::InstallFailed
  ///                               and others of PackageManager::installNamed where they are installed
  ///   - Errc::ImportFailed        the import raised: pythonType() and traceback() say more
  ///   - Errc::PluginClassMissing  no such class, or none at all
  ///   - Errc::NotAPlugin          the class or object is no qtforge.core.IPlugin
  ///   - Errc::HookFailed          the constructor, or a function that describes the plugin, raised
  ///   - Errc::TimedOut            it took longer than LoadContext::hookLimit, and goes on in its lane
  /// @par Blocking  for the import, at most that long, and for packages that are installed.
  [[nodiscard]] expected<std::unique_ptr<IPlugin>> load(const Manifest& manifest, const LoadContext& load) override {
    return make(manifest, load, nullptr);
  }

  /// PythonConfig::hotReloadInterval, where `enableHotReload` is set.
  [[nodiscard]] std::optional<std::chrono::milliseconds> reloadInterval() const override {
    const auto* interpreter = detail::Interpreter::find();
    return interpreter ? interpreter->reloadInterval() : std::nullopt;
  }

  /// plugin.json and Python's sources: what a plugin may write into its folder besides is no reason to reload it.
  [[nodiscard]] bool isCode(const std::filesystem::path& file) const override {
    return file.extension() == ".py" || IPluginLoader::isCode(file);
  }

  /// As load(): the modules are imported afresh under the names of those of `running`, which stay as they are.
  [[nodiscard]] expected<std::unique_ptr<IPlugin>> loadBeside(IPlugin& running, const Manifest& manifest,
                                                              const LoadContext& load) override {
    const auto& context = static_cast<detail::PythonPlugin&>(running).context();
    if (detail::PluginScope::isInside(*context))
      return Error(Errc::WouldDeadlock, "this thread runs code of the plugin, which would be waited for");
    return make(manifest, load, context.get());
  }

  [[nodiscard]] expected<void> replace(IPlugin& running, IPlugin& next, const ReloadStates& states) override {
    return detail::PythonReplacement::run(static_cast<detail::PythonPlugin&>(running),
                                          static_cast<detail::PythonPlugin&>(next), states);
  }

 private:
  // `running`: the version beside which it is made; may be null.
  static expected<std::unique_ptr<IPlugin>> make(const Manifest& manifest, const LoadContext& load,
                                                 detail::PluginContext* running) {
    auto* interpreter = detail::Interpreter::find();
    if (!interpreter)
      return Error(Errc::PythonNotInitialized,
                   "there is no Python yet; call qtforge::python::PythonIntegration::initialize() before");
    const auto entry = resolveEntryPoint(manifest);
    if (!entry) return entry.error();
    if (auto fits = detail::checkInterpreter(manifest); !fits) return fits.error();
    auto entered = detail::enterEnvironment(manifest);
    if (!entered) return entered.error();
    if (auto met = detail::ensureRequirements(manifest, *entry, interpreter->installsFrom()); !met) return met.error();
    auto context = std::make_shared<detail::PluginContext>();
    context->name = manifest.name;
    context->lastingName = detail::lastingText(manifest.name);
    context->texts = textsOf(manifest);
    context->folder = manifest.folder.string();
    context->dataFolder = load.dataFolder.string();
    context->interfaces = manifest.interfaces;
    context->hookLimit = load.hookLimit;
    context->services = load.services;
    context->client = load.client;
    context->configuration = load.configuration;
    context->environment = std::move(*entered);
    context->held.store(running != nullptr, std::memory_order_relaxed);
    context->lane = manifest.lane == PluginLane::Own ? &interpreter->laneNamed("plugin " + manifest.name)
                                                     : &interpreter->sharedLane();
    auto texts = std::make_shared<detail::PluginTexts>();
    auto done = context->lane->call(
        [=, path = *entry](const Gil& gil) { return makeHere(*context, *texts, manifest, path, gil); },
        load.hookLimit);
    if (!done && done.error() == Errc::TimedOut && !context->decide(detail::PluginContext::Making::Abandoned)) done = {};
    if (!done) return done.error();
    complete(context->texts, *texts);
    if (load.named) context->texts.name = texts->name = manifest.name;
    interpreter->addPlugin(context);
    const Gil gil;
    return std::unique_ptr<IPlugin>(std::make_unique<detail::PythonPlugin>(context, std::move(*texts), context->object.get()));
  }

  static detail::PluginTexts textsOf(const Manifest& manifest) {
    detail::PluginTexts texts{manifest.name, manifest.version.toString(), manifest.description, manifest.author, {}};
    for (const auto& dependency : manifest.dependencies) texts.dependencies.push_back(dependency.toString());
    return texts;
  }

  // What the plugin says stands before what its manifest says.
  static void complete(detail::PluginTexts& texts, const detail::PluginTexts& own) {
    for (const auto member : {&detail::PluginTexts::name, &detail::PluginTexts::version,
                              &detail::PluginTexts::description, &detail::PluginTexts::author})
      if (!(own.*member).empty()) texts.*member = own.*member;
    if (!own.dependencies.empty()) texts.dependencies = own.dependencies;
  }

  static expected<void> makeHere(detail::PluginContext& context, detail::PluginTexts& texts, const Manifest& manifest,
                                 const std::filesystem::path& entry, const Gil& gil) {
    if (auto there = detail::ensurePackage(gil); !there) return there;
    const detail::PluginScope scope(&context);
    if (auto told = detail::tellAuthor("load", context, gil); !told) return told;
    const Ref plugins = Ref::steal(PyImport_ImportModule("qtforge._plugins"));
    if (!plugins) return takePythonError("import of qtforge._plugins", gil, Errc::ImportFailed);
    if (context.held.load(std::memory_order_relaxed)) context.modules = SharedRef(Ref::steal(PyDict_New()));
    const detail::ModulesInPlace modules(context, gil);
    auto made = detail::makePlugin(plugins.get(), manifest, entry, context.number, gil);
    expected<void> described;
    if (made) described = detail::describePlugin(made->get(), texts, gil);
    if (made && described) {
      context.object = SharedRef(std::move(*made));
      if (context.decide(detail::PluginContext::Making::Done)) return {};
    }
    detail::endSubscriptions(context, gil);
    (void)detail::forgetPlugin(context, gil);
    return made ? described : expected<void>(made.error());
  }
};

inline std::unique_ptr<IPluginLoader> detail::makePythonLoader() { return std::make_unique<PythonPluginLoader>(); }

}  // namespace qtforge::inline QTFORGE_ABI::python

#include <qtforge/python/python_integration.hpp>
