#pragma once
// qtforge/core/detail/library.hpp: a native plugin's shared object in this process: opened, leased, closed, and asked
// whether it really went.

#include <qtforge/communication/buffer.hpp>
#include <qtforge/core/detail/bounded_end.hpp>
#include <qtforge/core/detail/file.hpp>
#include <qtforge/core/detail/plugin_events.hpp>
#include <qtforge/utils/detail/root.hpp>
#include <qtforge/utils/log.hpp>

#include <algorithm>
#include <dlfcn.h>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Which files have a living plugin in this process: a second one would take over the first one's root.
class OpenFiles {
 public:
  static OpenFiles& instance() {
    static auto* files = new OpenFiles();  // outlives static managers
    return *files;
  }

  bool add(const File& file) {
    std::lock_guard lock(mutex_);
    const Id id{file.device(), file.inode()};
    if (std::find(ids_.begin(), ids_.end(), id) != ids_.end()) return false;
    ids_.push_back(id);
    return true;
  }

  void remove(dev_t device, ino_t inode) {
    std::lock_guard lock(mutex_);
    std::erase(ids_, Id{device, inode});
  }

  /// For what belongs to a library that stays mapped, and must stay too.
  void keep(void* object) {
    std::lock_guard lock(mutex_);
    kept_.push_back(object);
  }

  /// From here on nothing is unmapped: the process ends, and code of plugins may still be on somebody's stack.
  void keepMapped() noexcept { keep_.store(true); }
  [[nodiscard]] bool keptMapped() const noexcept { return keep_.load(); }

 private:
  using Id = std::pair<dev_t, ino_t>;
  std::mutex mutex_;  // guards both of the next
  std::vector<Id> ids_;
  std::vector<void*> kept_;
  std::atomic<bool> keep_{false};
};

/// A library with the root and the lease that its plugin was given. Lives as long as the library is mapped: `release`
/// gives up the manager's share, and whoever holds the last lease lets the library go.
class Library : public Lease {
 public:
  /// Loads the library: its static initialisers run here.
  ///
  /// @param again  where the same file has a living plugin, a copy of it is loaded
  /// @return the library, or
  ///   - Errc::ImportFailed     with what dlopen(3) says
  ///   - Errc::DuplicatePlugin  the same file has a living plugin
  static expected<Library*> open(const File& file, const std::filesystem::path& path, const Root& root,
                                 std::string_view plugin, bool again) {
    std::unique_ptr<Library> library(new Library(file, path.string(), root, plugin));
    if (!OpenFiles::instance().add(file)) {
      if (!again)
        return Error(Errc::DuplicatePlugin, "'" + path.string() + "' is loaded already in this process: a plugin that is to "
                                                                  "be there several times needs a name for each");
      auto copy = file.copyInMemory(path.filename().string(), Errc::ImportFailed);
      if (!copy) return copy.error();
      library.reset(new Library(*copy, copy->path(), root, plugin));
      library->copy_.emplace(std::move(*copy));
      OpenFiles::instance().add(*library->copy_);
    }
    if (library->isMapped())
      pluginLogger().warning("'" + path.string() +
                             "' is still mapped from before: its old code runs, even if the file changed");
    ::dlerror();
    library->handle_ = ::dlopen(library->path_.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library->handle_) {
      const char* reason = ::dlerror();
      library->forget();
      return Error(Errc::ImportFailed, "dlopen: " + std::string(reason ? reason : path.string() + ": failed"));
    }
    return library.release();
  }

  [[nodiscard]] void* symbol(const char* name) const noexcept { return ::dlsym(handle_, name); }
  [[nodiscard]] Root& root() noexcept { return root_; }

  /// The plugin is gone. Unmaps the library now, or leaves that to the last lease.
  void leave() {
    forget();
    // What still runs in the library (static destructors, threads it forgot) speaks as the host.
    if (const auto* host = findRoot()) __atomic_store_n(&root_.client, host->client, __ATOMIC_RELEASE);
    if (OpenFiles::instance().keptMapped()) return stay();
    if (isInsideCallback()) {  // maybe one of the plugin's: its code is on this stack
      stay();
      tellKept("its plugin was unloaded from inside a handler or timer");
      return;
    }
    const auto others = count.load(std::memory_order_relaxed) - 1;
    if (others > 0)  // told before: afterwards this may be gone
      tellKept("others hold what its code made, " + std::to_string(others) + (others == 1 ? " object" : " objects") +
               "; it goes with the last");
    if (count.fetch_sub(1, std::memory_order_acq_rel) == 1) close();
  }

 private:
  Library(const File& file, std::string path, const Root& root, std::string_view plugin)
      : root_(root), path_(std::move(path)), plugin_(plugin), device_(file.device()), inode_(file.inode()) {
    released = [](Lease* self) { static_cast<Library*>(self)->closeSoon(); };
  }

  void forget() { OpenFiles::instance().remove(device_, inode_); }

  [[nodiscard]] bool isMapped() const noexcept {
    void* handle = ::dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    if (handle) ::dlclose(handle);
    return handle != nullptr;
  }

  // The last lease may be given back by the library's own code, which must return first.
  void closeSoon() {
    struct Closing {
      Library* library;
      const RuntimeTable* runtime;
      std::atomic<std::uintptr_t> timer{0};
    };
    const auto* host = findRoot();
    if (!host || OpenFiles::instance().keptMapped()) return stay();
    auto* closing = new Closing{this, host->runtime};
    const Callback close{closing,
                         [](void* self) {
                           auto& c = *static_cast<Closing*>(self);
                           const auto timer = c.timer.load(std::memory_order_acquire);
                           if (!timer) return;  // at the next tick then
                           if (c.library) std::exchange(c.library, nullptr)->close();
                           c.runtime->stopTimer(timer);
                         },
                         [](void* self) {
                           const std::unique_ptr<Closing> ended(static_cast<Closing*>(self));
                           if (ended->library) ended->library->stay();  // the process ends: all stays mapped
                         }};
    constexpr std::int64_t second = 1'000'000'000;
    if (const auto timer = host->runtime->startTimer(host->client, second, true, close))
      closing->timer.store(timer, std::memory_order_release);
    else
      close.destroy(closing);
  }

  // Code that stays mapped may use its root and lease at any time.
  void stay() { OpenFiles::instance().keep(this); }

  // Frees the library and this, or keeps both.
  void close() {
    if (OpenFiles::instance().keptMapped()) return stay();
    ::dlclose(handle_);
    if (isMapped()) {
      stay();
      tellKept("dlclose did not unmap it: it has thread_local objects with destructors, unique symbols, a thread, or "
               "somebody else opened it");
    } else {
      delete this;
    }
  }

  void tellKept(const std::string& reason) const {
    const auto text = "'" + path_ + "' stays mapped: " + reason;
    pluginLogger().info(text);
    tellOfPlugin(plugin_, "kept", text);
  }

  Root root_;
  std::string path_, plugin_;
  dev_t device_;
  ino_t inode_;
  std::optional<File> copy_;  // open as long as the library is mapped: its path is not another's
  void* handle_ = nullptr;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
