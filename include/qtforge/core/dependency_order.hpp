#pragma once
// qtforge/core/dependency_order.hpp: in which order plugins can be loaded, and why some of them cannot.

#include <qtforge/core/version.hpp>

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

/// A plugin as the order sees it.
struct DependencyNode {
  std::string name;
  Version version;
  std::vector<Dependency> dependencies;
};

struct DependencyOrder {
  std::vector<std::size_t> order;                        ///< indices of those that can be loaded, each after its needs
  std::vector<std::pair<std::size_t, Error>> unresolved;  ///< the others
};

/// The version of a plugin that is there already, if it is.
using FindVersion = std::function<std::optional<Version>(std::string_view name)>;

namespace detail {

inline Error missingDependency(std::string_view plugin, const Dependency& wanted) {
  return Error(Errc::DependencyMissing, "plugin '" + std::string(plugin) + "' needs '" + wanted.toString() +
                                            "', which is not loaded: load it first, or load the folder that has both");
}

inline Error wrongDependency(std::string_view plugin, const Dependency& wanted, const Version& there) {
  return Error(Errc::DependencyVersion, "plugin '" + std::string(plugin) + "' needs '" + wanted.toString() +
                                            "', but '" + wanted.name + "' has version " + there.toString());
}

inline Error failedDependency(std::string_view plugin, const Dependency& wanted, const Error& reason) {
  return Error(Errc::DependencyMissing, "plugin '" + std::string(plugin) + "' needs '" + wanted.toString() +
                                            "', which cannot be loaded: " + reason.message());
}

class DependencySorter {
 public:
  DependencySorter(std::span<const DependencyNode> nodes, const FindVersion& find)
      : nodes_(nodes), find_(find), mark_(nodes.size(), Mark::New), error_(nodes.size()), cause_(nodes.size()) {}

  DependencyOrder sort() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      cause_[i] = i;
      const auto [first, fresh] = byName_.emplace(nodes_[i].name, i);
      if (fresh && !find_(nodes_[i].name)) continue;
      fail(i, Error(Errc::DuplicatePlugin, "plugin '" + nodes_[i].name + "' is " +
                                               (fresh ? "loaded already" : "there twice; the first one is taken")));
      if (fresh) byName_.erase(first);  // others find the one that is loaded
    }
    for (std::size_t i = 0; i < nodes_.size(); ++i) visit(i);
    for (std::size_t i = 0; i < nodes_.size(); ++i)
      if (error_[i]) out_.unresolved.emplace_back(i, *error_[i]);
    return std::move(out_);
  }

 private:
  enum class Mark { New, OnPath, Done };
  struct Step {
    std::size_t node;
    std::size_t next = 0;  // index of the dependency to look at
  };

  // Depth first with a path of its own, since a chain may be longer than the stack is deep.
  void visit(std::size_t start) {
    if (mark_[start] != Mark::New) return;
    mark_[start] = Mark::OnPath;
    path_.push_back({start});
    while (!path_.empty()) {
      auto& [index, next] = path_.back();
      const auto& node = nodes_[index];
      if (next == node.dependencies.size()) {
        leave();
        continue;
      }
      const auto& wanted = node.dependencies[next];
      const auto found = byName_.find(wanted.name);
      if (found == byName_.end()) {
        ++next;
        checkLoaded(index, wanted);
      } else if (mark_[found->second] == Mark::New) {
        mark_[found->second] = Mark::OnPath;
        path_.push_back({found->second});  // comes back to the same dependency
      } else {
        ++next;
        if (mark_[found->second] == Mark::OnPath) failCycle(found->second);
        else checkNeighbour(index, wanted, found->second);
      }
    }
  }

  void leave() {
    const auto index = path_.back().node;
    path_.pop_back();
    mark_[index] = Mark::Done;
    if (!error_[index]) out_.order.push_back(index);
  }

  void checkLoaded(std::size_t index, const Dependency& wanted) {
    const auto there = find_(wanted.name);
    if (!there && !wanted.optional) fail(index, missingDependency(nodes_[index].name, wanted));
    if (there && !wanted.range.contains(*there)) fail(index, wrongDependency(nodes_[index].name, wanted, *there));
  }

  void checkNeighbour(std::size_t index, const Dependency& wanted, std::size_t other) {
    if (!wanted.range.contains(nodes_[other].version))
      fail(index, wrongDependency(nodes_[index].name, wanted, nodes_[other].version));
    else if (error_[other] && !wanted.optional) {
      if (!error_[index]) cause_[index] = cause_[other];
      fail(index, failedDependency(nodes_[index].name, wanted, *error_[cause_[other]]));
    }
  }

  void failCycle(std::size_t first) {
    std::string names;
    std::size_t from = path_.size();
    while (path_[--from].node != first) {}
    for (auto i = from; i < path_.size(); ++i) names += nodes_[path_[i].node].name + " -> ";
    names += nodes_[first].name;
    for (auto i = from; i < path_.size(); ++i)
      fail(path_[i].node, Error(Errc::DependencyCycle, "plugins that need each other: " + names));
  }

  void fail(std::size_t index, Error error) {
    if (!error_[index]) error_[index] = std::move(error);
  }

  std::span<const DependencyNode> nodes_;
  const FindVersion& find_;
  std::vector<Mark> mark_;
  std::vector<std::optional<Error>> error_;
  std::vector<std::size_t> cause_;  // whose error is behind a node's: itself, or the first of a chain
  std::map<std::string_view, std::size_t> byName_;
  std::vector<Step> path_;
  DependencyOrder out_;
};

}  // namespace detail

/// Sorts plugins so that each comes after what it needs; otherwise they keep their order.
///
/// @param loaded  knows the plugins that are there already
/// @return what can be loaded, and for each of the others
///   - Errc::DuplicatePlugin    its name is taken, by one before it or by one that is loaded
///   - Errc::DependencyMissing  a plugin it needs is not there, or cannot be loaded for the reason that is named
///   - Errc::DependencyVersion  a plugin it needs is there in another version: both are named
///   - Errc::DependencyCycle    with the path: "a -> b -> a"
/// @par Complexity  linear in plugins and dependencies, times the logarithm of their number.
[[nodiscard]] inline DependencyOrder orderByDependencies(std::span<const DependencyNode> nodes,
                                                         const FindVersion& loaded) {
  return detail::DependencySorter(nodes, loaded).sort();
}

}  // namespace qtforge::inline QTFORGE_ABI
