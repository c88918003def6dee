#pragma once
// qtforge/core/configuration.hpp: the values of a plugin's settings, as they are at one moment.

#include <qtforge/core/detail/json_member.hpp>
#include <qtforge/utils/detail/abi.hpp>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <memory>
#include <string_view>
#include <utility>

namespace qtforge::inline QTFORGE_ABI {

/// Values of settings by name, all of them checked against the manifest. Immutable; copies share their content.
///
/// A setting that has no default and was not set is not there.
/// @par Thread safety  any thread.
class Configuration {
 public:
  /// Without settings.
  Configuration() : Configuration(boost::json::object()) {}
  explicit Configuration(boost::json::object values)
      : values_(std::make_shared<const boost::json::object>(std::move(values))) {}
  // Moving would leave one without content.
  Configuration(const Configuration&) = default;
  Configuration& operator=(const Configuration&) = default;

  /// The value of a setting as a T: bool, numbers, std::string, containers of them, boost::json types, or what
  /// boost::json::value_to makes.
  ///
  /// @return the value, or
  ///   - Errc::NameNotFound      there is no such setting, or it has no value; with the nearest name that has one
  ///   - Errc::ConversionFailed  the value is no T: an integer outside T's range, text for a number
  template <class T>
  [[nodiscard]] expected<T> get(std::string_view name) const {
    return detail::jsonMember<T>(values(), name, "setting");
  }

  [[nodiscard]] bool contains(std::string_view name) const noexcept { return values().contains(name); }

  [[nodiscard]] const boost::json::object& values() const& noexcept { return *values_; }
  [[nodiscard]] boost::json::object values() && { return *values_; }  // for loops over `handle->configuration().values()`

 private:
  std::shared_ptr<const boost::json::object> values_;
};

namespace detail {

/// Where a plugin reads its settings; crosses from the host to native plugins.
struct ConfigurationSource {
  void* self = nullptr;
  /// Puts a copy of the values, an object, into `out`. 0, or the Errc.
  std::int32_t (*read)(void* self, boost::json::value* out, ErrorSink sink) = nullptr;
};

// Set by a native plugin's entry; empty elsewhere.
inline ConfigurationSource& ownConfiguration() noexcept {
  static ConfigurationSource source;
  return source;
}

inline Configuration readConfiguration(const ConfigurationSource& source) {
  boost::json::value values;
  if (!source.read || source.read(source.self, &values, {}) != 0 || !values.is_object()) return {};
  return Configuration(std::move(values.get_object()));
}

}  // namespace detail

}  // namespace qtforge::inline QTFORGE_ABI
