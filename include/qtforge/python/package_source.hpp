#pragma once
// qtforge/python/package_source.hpp: where Python packages come from.

#include <qtforge/utils/config.hpp>

#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python {

/// The index and folders in which packages are looked for.
struct PackageSource {
  /// `https://...`, the only index then; empty: what pip or uv are configured for, and PyPI for what a manifest names.
  std::string indexUrl;
  /// Folders of wheels, which are looked at too.
  std::vector<std::string> wheelFolders;
  /// Takes from `wheelFolders` only; no network is used.
  bool offline = false;

  friend bool operator==(const PackageSource&, const PackageSource&) = default;
};

}  // namespace qtforge::inline QTFORGE_ABI::python
