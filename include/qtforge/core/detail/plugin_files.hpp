#pragma once
// qtforge/core/detail/plugin_files.hpp: a plugin's folders and its store, as the host serves them.

#include <qtforge/core/detail/json_file.hpp>
#include <qtforge/core/detail/json_pointer.hpp>
#include <qtforge/core/detail/plugin_services.hpp>

#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

inline constexpr JsonFileKind storeFile{"store", 64 * 1024 * 1024, Errc::FileFailed};

/// @par Thread safety  any thread.
class PluginFiles {
 public:
  /// @param dataFolder  empty where there is no place
  PluginFiles(std::string name, const std::filesystem::path& folder, const std::filesystem::path& dataFolder,
              std::string topicPrefix)
      : name_(std::move(name)), folder_(folder.string()), dataFolder_(dataFolder.string()), topicPrefix_(std::move(topicPrefix)) {
    services_.self = this;
    services_.name = std::string_view(name_);
    services_.folder = std::string_view(folder_);
    services_.dataFolder = std::string_view(dataFolder_);
    services_.topicPrefix = std::string_view(topicPrefix_);
    services_.makeDataFolder = [](void* self, ErrorSink sink) {
      return guarded(sink, [&] { return of(self).makeDataFolder(); });
    };
    services_.readStore = [](void* self, boost::json::value* out, ErrorSink sink) {
      return guarded(sink, [&] { return of(self).read(*out); });
    };
    services_.writeStore = [](void* self, const boost::json::object* values, ErrorSink sink) {
      return guarded(sink, [&] { return of(self).write(*values); });
    };
  }
  PluginFiles(const PluginFiles&) = delete;
  PluginFiles& operator=(const PluginFiles&) = delete;

  [[nodiscard]] PluginServices& services() noexcept { return services_; }

 private:
  static PluginFiles& of(void* self) noexcept { return *static_cast<PluginFiles*>(self); }

  expected<void> makeDataFolder() const {
    if (dataFolder_.empty())
      return Error(Errc::FileFailed, "plugin '" + name_ + "' has no place for data: the host set none, and neither HOME nor "
                                     "XDG_DATA_HOME is set");
    std::error_code failure;
    std::filesystem::create_directories(dataFolder_, failure);
    if (failure) return Error(Errc::FileFailed, "'" + dataFolder_ + "': " + failure.message());
    return {};
  }

  expected<void> read(boost::json::value& out) {
    if (auto made = makeDataFolder(); !made) return made;
    auto opened = JsonFile::open(std::filesystem::path(dataFolder_) / "store.json", storeFile);
    if (!opened) return opened.error();
    std::lock_guard lock(mutex_);
    store_.emplace(std::move(opened->first));
    out = std::move(opened->second);
    return {};
  }

  expected<void> write(const boost::json::object& values) {
    for (const auto& [key, value] : values) {
      std::string place;
      if (!isFinite(value, place))
        return Error(Errc::InvalidArgument, "store: " + pointer({}, key) + place + ": NaN and infinity are no JSON");
    }
    const auto text = boost::json::serialize(values);
    if (text.size() >= storeFile.largest)
      return Error(Errc::LimitExceeded, "store: it would be larger than 64 MiB; keep what is large in files of dataDir()");
    const auto again = JsonReader::read(text, JsonReader::Marks::Keep);
    if (again.problem)
      return Error(Errc::InvalidArgument, "store: what is to be kept could not be read again: " +
                                              std::string(again.problem) + (again.reason.empty() ? "" : ": " + again.reason) +
                                              " at offset " + std::to_string(again.offset));
    std::lock_guard lock(mutex_);
    if (!store_) return Error(Errc::InvalidArgument, "store: it must be read before it is written");
    auto staged = store_->stage(values);
    if (!staged) return staged.error();
    return store_->commit(std::move(*staged));
  }

  const std::string name_, folder_, dataFolder_, topicPrefix_;
  PluginServices services_;
  std::mutex mutex_;  // guards store_
  std::optional<JsonFile> store_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
