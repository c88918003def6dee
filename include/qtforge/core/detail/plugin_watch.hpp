#pragma once
// qtforge/core/detail/plugin_watch.hpp: has plugins reloaded whose files change.

#include <qtforge/communication/detail/process_root.hpp>
#include <qtforge/core/detail/code_folder.hpp>
#include <qtforge/core/detail/folder_events.hpp>
#include <qtforge/core/detail/plugin_events.hpp>
#include <qtforge/core/detail/reload_schedule.hpp>
#include <qtforge/core/plugin_loader.hpp>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Of one manager. Its work is done on the runtime's threads. The folder that a plugin's folder lies in is watched too: a new
/// one may be moved into its place, or a link be changed.
///
/// @par Thread safety  any thread. Nothing is called with its lock but the kernel.
class PluginWatch : public std::enable_shared_from_this<PluginWatch> {
 public:
  /// Reloads the plugin of that name. @return whether it is to be tried once more
  using Reload = std::function<bool(const std::string& plugin)>;

  explicit PluginWatch(Reload reload)
      : reload_(std::move(reload)), executor_(processRoot().runtime().executor()), events_(executor_) {}
  PluginWatch(const PluginWatch&) = delete;
  PluginWatch& operator=(const PluginWatch&) = delete;

  /// Before the plugin's files are read.
  void add(const std::string& name, const std::filesystem::path& path, std::shared_ptr<IPluginLoader> loader,
           std::chrono::milliseconds interval) {
    const auto plugin = std::make_shared<Watched>(executor_, name, path, std::move(loader), interval);
    plugin->seen = plugin->read();
    const Telling telling(*this);
    std::lock_guard lock(mutex_);
    if (ended_) return;
    plugins_[name] = plugin;
    if (!begun_) begin();
    watch(*plugin);
    if (polls_) poll(plugin);
    else changed(plugin, false);  // a folder may have come before its parent was watched
  }

  void remove(const std::string& name) {
    std::lock_guard lock(mutex_);
    const auto found = plugins_.find(name);
    if (found == plugins_.end()) return;
    const auto plugin = found->second;
    plugins_.erase(found);
    end(*plugin);
    forgetFolders(*plugin, {});
  }

  /// Nothing more is reloaded; a reload that runs is not waited for.
  void stop() {
    std::lock_guard lock(mutex_);
    ended_ = true;
    for (const auto& [name, plugin] : plugins_) end(*plugin);
    plugins_.clear();
    due_.clear();
    events_.close();
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Watched {
    Watched(boost::asio::io_context::executor_type executor, std::string called, std::filesystem::path at,
            std::shared_ptr<IPluginLoader> by, std::chrono::milliseconds every)
        : name(std::move(called)), path(std::move(at)), loader(std::move(by)), interval(every), schedule(every), timer(executor), pollTimer(executor) {}

    [[nodiscard]] CodeFolder read() const {
      return CodeFolder::read(path, [this](const auto& file) { return loader->isCode(file); });
    }

    const std::string name;
    const std::filesystem::path path;
    const std::shared_ptr<IPluginLoader> loader;
    const std::chrono::milliseconds interval;
    ReloadSchedule schedule;
    CodeFolder seen;
    std::set<int> folders;  // that are watched for it
    int parent = -1;
    bool surely = false;  // a file of its code has changed; else it is to be looked for
    bool ended = false;
    boost::asio::steady_timer timer, pollTimer;
  };
  using Plugin = std::shared_ptr<Watched>;

  /// Tells the log at its end what there is to tell; made before the lock is taken, whose holder no sink may wait for.
  class Telling {
   public:
    explicit Telling(PluginWatch& watch) noexcept : watch_(watch) {}
    Telling(const Telling&) = delete;
    Telling& operator=(const Telling&) = delete;
    ~Telling() {
      std::unique_lock lock(watch_.mutex_);
      const auto text = std::exchange(watch_.toTell_, {});
      lock.unlock();
      if (!text.empty()) pluginLogger().warning(text);
    }

   private:
    PluginWatch& watch_;
  };

  // ---- With mutex_ held ----

  void begin() {
    begun_ = true;
    if (auto opened = events_.open(); !opened) return beginPolling(opened.error());
    readOn();
  }

  void readOn() {
    events_.asyncRead([weak = weak_from_this()](const boost::system::error_code& failure, std::size_t bytes) {
      if (const auto self = weak.lock(); self && !failure) self->take(bytes);
    });
  }

  /// Watches what it has now, and no more what it had.
  void watch(Watched& plugin) {
    if (polls_) return;
    std::set<int> folders;
    const auto add = [&](const std::filesystem::path& folder) {
      const auto number = events_.watch(folder);
      if (!number) return beginPolling(number.error()), -1;
      if (*number >= 0) folders.insert(*number);
      return *number;
    };
    plugin.parent = add(plugin.path.parent_path());
    for (const auto& folder : plugin.seen.folders)
      if (!polls_) add(folder);
    forgetFolders(plugin, folders);
  }

  void forgetFolders(Watched& plugin, std::set<int> still) {
    const auto before = std::exchange(plugin.folders, std::move(still));
    for (const int folder : before) {
      const bool used = std::any_of(plugins_.begin(), plugins_.end(), [&](const auto& p) { return p.second->folders.contains(folder); });
      if (!used && !plugin.folders.contains(folder)) events_.unwatch(folder);
    }
  }

  void end(Watched& plugin) {
    plugin.ended = true;
    plugin.timer.cancel();
    plugin.pollTimer.cancel();
  }

  /// Where the kernel tells nothing, all is looked at again and again.
  void beginPolling(const Error& why) {
    if (std::exchange(polls_, true)) return;
    toTell_ = "changes of plugins' files are looked for at each interval of hot reload, since the kernel does not tell them: " +
              why.message();
    for (const auto& [name, plugin] : plugins_) poll(plugin);
  }

  void poll(const Plugin& plugin) {
    plugin->pollTimer.expires_after(plugin->interval);
    plugin->pollTimer.async_wait([weak = weak_from_this(), plugin](const boost::system::error_code& failure) {
      const auto self = weak.lock();
      if (!self || failure) return;
      std::lock_guard lock(self->mutex_);
      if (plugin->ended) return;
      self->changed(plugin, false);
      self->poll(plugin);
    });
  }

  void changed(const Plugin& plugin, bool surely) {
    plugin->surely |= surely;
    if (const auto when = plugin->schedule.changed(Clock::now())) wake(plugin, *when);
  }

  void wake(const Plugin& plugin, Clock::time_point when) {
    plugin->timer.expires_at(when);
    plugin->timer.async_wait([weak = weak_from_this(), plugin](const boost::system::error_code& failure) {
      if (const auto self = weak.lock(); self && !failure) self->due(plugin);
    });
  }

  // ---- Without it, on the runtime ----

  void take(std::size_t bytes) {
    std::lock_guard lock(mutex_);
    if (ended_) return;
    events_.take(bytes, [&](const FolderEvent& event) {
      for (const auto& [name, plugin] : plugins_) {
        const bool all = event.folder < 0, its = event.folder == plugin->parent && event.name == plugin->path.filename().string();
        if (all || its) changed(plugin, its);
        else if (plugin->folders.contains(event.folder)) changedInside(plugin, event);
      }
    });
    readOn();
  }

  void changedInside(const Plugin& plugin, const FolderEvent& event) {
    if (event.gone) plugin->folders.erase(event.folder);
    if (event.gone || event.name.empty()) return changed(plugin, false);
    if (isHidden(event.name) || event.folder == plugin->parent) return;
    if (event.isFolder) changed(plugin, false);
    else if (plugin->loader->isCode(std::filesystem::path(event.name))) changed(plugin, true);
  }

  /// One reload after the other, so that they do not take all threads of the runtime.
  void due(const Plugin& plugin) {
    std::unique_lock lock(mutex_);
    if (plugin->ended) return;
    plugin->schedule.begin();
    due_.push_back(plugin);
    if (std::exchange(working_, true)) return;
    while (!due_.empty()) {
      const auto next = due_.front();
      due_.pop_front();
      lock.unlock();
      const bool again = look(next);
      lock.lock();
      if (next->ended) continue;
      auto when = next->schedule.end(Clock::now());
      if (again && !when) {
        next->surely = true;
        when = next->schedule.changed(Clock::now());
      }
      if (when) wake(next, *when);
    }
    working_ = false;
  }

  /// @return whether it is to be done once more
  bool look(const Plugin& plugin) {
    auto now = plugin->read();
    {
      const Telling telling(*this);
      std::lock_guard lock(mutex_);
      if (plugin->ended) return false;
      const bool same = now.files == plugin->seen.files;
      if (now.folders != plugin->seen.folders) changed(plugin, false);  // to look into those that are only watched from now on
      plugin->seen = std::move(now);
      watch(*plugin);
      if (plugin->parent < 0 && !polls_) return true;  // nobody would tell when it is there again
      if ((same && !std::exchange(plugin->surely, false)) || plugin->seen.files.empty()) return false;
      plugin->surely = false;
    }
    return reload_(plugin->name);
  }

  const Reload reload_;
  const boost::asio::io_context::executor_type executor_;
  std::mutex mutex_;  // guards all below, and of a plugin all but what is constant
  FolderEvents events_;
  std::map<std::string, Plugin> plugins_;
  std::deque<Plugin> due_;
  std::string toTell_;
  bool begun_ = false, polls_ = false, working_ = false, ended_ = false;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
