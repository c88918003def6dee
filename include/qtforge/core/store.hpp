#pragma once
// qtforge/core/store.hpp: a small object of JSON that a plugin keeps from one run to the next.

#include <qtforge/core/detail/json_member.hpp>
#include <qtforge/core/detail/plugin_services.hpp>

#include <boost/json/value_from.hpp>

#include <memory>
#include <mutex>
#include <string_view>
#include <type_traits>
#include <utility>

namespace qtforge::inline QTFORGE_ABI {

namespace detail {

/// What a plugin's Stores share.
struct StoreCore {
  std::mutex mutex;  // guards all below
  const PluginServices* services = nullptr;  // null: the plugin is gone
  boost::json::object values;
};

}  // namespace detail

/// Values by name in the file `store.json` of the plugin's dataDir(), read once, and written whole at every change: after a
/// crash it has the values of before or of after. Made by IPlugin::store; copies are the same store. A plugin in Python
/// reads and writes the same file as `self.store`.
///
/// Changes block until the file is on the disk, and where they fail nothing has changed. They are
///   - Errc::InvalidArgument  a number that is not finite, text that is no UTF-8, more than 1,000 levels: no JSON that could
///                            be read again
///   - Errc::LimitExceeded    the file would be larger than 64 MiB
///   - Errc::FileFailed       it cannot be written, or somebody else has changed it since
///   - Errc::PluginUnloaded   the plugin is gone
/// @par Thread safety  any thread.
class Store {
 public:
  /// The value of `key` as a T; see Configuration::get for types and errors.
  template <class T>
  [[nodiscard]] expected<T> get(std::string_view key) const {
    std::lock_guard lock(core_->mutex);
    return detail::jsonMember<T>(core_->values, key, "key");
  }

  /// As get, and `otherwise` where there is no such key.
  template <class T>
  [[nodiscard]] expected<T> get(std::string_view key, T otherwise) const {
    std::lock_guard lock(core_->mutex);
    if (!core_->values.contains(key)) return otherwise;
    return detail::jsonMember<T>(core_->values, key, "key");
  }

  [[nodiscard]] bool contains(std::string_view key) const {
    std::lock_guard lock(core_->mutex);
    return core_->values.contains(key);
  }

  /// A copy of all of it.
  [[nodiscard]] boost::json::object values() const {
    std::lock_guard lock(core_->mutex);
    return core_->values;
  }

  /// Sets one; to JSON, or to what boost::json::value_from makes of `value`.
  template <class T>
    requires(!std::is_same_v<std::remove_cvref_t<T>, boost::json::value>)
  expected<void> set(std::string_view key, T&& value) {
    return set(key, boost::json::value_from(std::forward<T>(value)));
  }
  expected<void> set(std::string_view key, boost::json::value value) {
    return change([&](boost::json::object& values) {
      values[key] = std::move(value);
      return true;
    });
  }

  /// Sets several, with one write.
  expected<void> update(const boost::json::object& more) {
    return change([&](boost::json::object& values) {
      for (const auto& [key, value] : more) values[key] = value;
      return !more.empty();
    });
  }

  /// Takes one away; nothing if it is not there.
  expected<void> erase(std::string_view key) {
    return change([&](boost::json::object& values) { return values.erase(key) > 0; });
  }

  /// Takes all away.
  expected<void> clear() {
    return change([](boost::json::object& values) {
      const bool differs = !values.empty();
      values.clear();
      return differs;
    });
  }

 private:
  friend class IPlugin;
  explicit Store(std::shared_ptr<detail::StoreCore> core) noexcept : core_(std::move(core)) {}

  // `f` makes the change to a copy; false where there is none.
  template <class F>
  expected<void> change(F&& f) {
    std::lock_guard lock(core_->mutex);
    if (!core_->services) return Error(Errc::PluginUnloaded, "store: its plugin has been unloaded");
    auto values = core_->values;
    if (!f(values)) return {};
    Error error;
    if (core_->services->writeStore(core_->services->self, &values, detail::sinkInto(error)) != 0) return error;
    std::swap(core_->values, values);
    return {};
  }

  std::shared_ptr<detail::StoreCore> core_;
};

}  // namespace qtforge::inline QTFORGE_ABI
