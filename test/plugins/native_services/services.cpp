// Offers a service, and finds the services and plugins of others.

#include "key_value.hpp"

#include <qtforge/plugin.hpp>

#include <map>
#include <mutex>
#include <string>

using fixture_interfaces::Asks;
using fixture_interfaces::KeyValue;

class Cache : public qtforge::Service<Cache, KeyValue> {
 public:
  std::optional<std::string> get(const std::string& key) const {
    std::lock_guard lock(mutex_);
    const auto found = values_.find(key);
    return found == values_.end() ? std::nullopt : std::optional(found->second);
  }
  void put(std::string key, std::string value) {
    std::lock_guard lock(mutex_);
    values_.insert_or_assign(std::move(key), std::move(value));
  }

  static constexpr auto methods() { return std::tuple(bind<"get">(&Cache::get), bind<"put">(&Cache::put)); }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> values_;
};

class Services : public qtforge::Implements<Services, Asks> {
 public:
  qtforge::expected<void> initialize() override {
    cache_.put("offered by", "C++");
    return offer("cache", cache_);
  }

  qtforge::expected<std::string> ask(const std::string& name, const std::string& key) {
    auto found = find<KeyValue>(name);
    if (!found) return found.error();
    last_ = *found;
    return again(key);
  }

  qtforge::expected<std::string> again(const std::string& key) const {
    auto value = last_.call<"get">(key);
    if (!value) return value.error();
    return value->value_or("nothing");
  }

  static constexpr auto methods() { return std::tuple(bind<"ask">(&Services::ask), bind<"again">(&Services::again)); }

 private:
  Cache cache_;
  qtforge::InterfaceHandle<KeyValue> last_;
};

QTFORGE_PLUGIN(Services);
