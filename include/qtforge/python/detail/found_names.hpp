#pragma once
// qtforge/python/detail/found_names.hpp: what names of a namespace were found to mean, until the namespace changes.

#include <qtforge/python/gil.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// Few of them; the GIL is the guard. Python before 3.12 numbers the states of a dict (PEP 509), later ones do not.
class FoundNames {
 public:
  /// A borrowed reference; null: it must be looked up.
  [[nodiscard, gnu::always_inline]] PyObject* find(PyObject* dict, std::string_view name, const Gil&) const noexcept {
    const auto& slot = slots_[indexOf(name)];
    const bool same = slot.version == versionOf(dict) && slot.name.size() == name.size() &&
                      std::memcmp(slot.name.data(), name.data(), name.size()) == 0;
    return same ? slot.found : nullptr;
  }

  /// @param found  what the dict itself has for that name
  void remember(PyObject* dict, std::string_view name, PyObject* found, const Gil&) {
    if (versionOf(dict) == none) return;
    auto& slot = slots_[indexOf(name)];
    slot.version = none;
    slot.name = name;
    slot.found = found;
    slot.version = versionOf(dict);
  }

 private:
  static constexpr std::uint64_t none = UINT64_MAX;

  struct Slot {
    std::string name;
    PyObject* found = nullptr;  // the dict's own reference, as long as it is in that state
    std::uint64_t version = none - 1;
  };

  static std::uint64_t versionOf([[maybe_unused]] PyObject* dict) noexcept {
#if PY_VERSION_HEX < 0x030C0000
    return reinterpret_cast<PyDictObject*>(dict)->ma_version_tag;
#else
    return none;
#endif
  }

  static std::size_t indexOf(std::string_view name) noexcept {
    return name.empty() ? 0 : (name.size() + static_cast<unsigned char>(name.back())) % slotCount;
  }

  static constexpr std::size_t slotCount = 8;
  std::array<Slot, slotCount> slots_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
