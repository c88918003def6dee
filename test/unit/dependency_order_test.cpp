// The order in which plugins can be loaded, and why some cannot.

#include <qtforge/core/dependency_order.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

using namespace qtforge;

namespace dependency_order {

DependencyNode node(std::string name, std::vector<std::string> needs = {}, const char* version = "1.0.0") {
  DependencyNode made{std::move(name), parseVersion(version).value(), {}};
  for (const auto& text : needs) {
    const bool optional = text.starts_with('?');
    made.dependencies.push_back(parseDependency(optional ? text.substr(1) : text).value());
    made.dependencies.back().optional = optional;
  }
  return made;
}

const FindVersion nothingLoaded = [](std::string_view) -> std::optional<Version> { return std::nullopt; };

std::string names(const std::vector<DependencyNode>& nodes, const DependencyOrder& sorted) {
  std::string out;
  for (const auto index : sorted.order) out += (out.empty() ? "" : " ") + nodes[index].name;
  return out;
}

}  // namespace dependency_order

BOOST_AUTO_TEST_SUITE(dependency_order)

BOOST_AUTO_TEST_CASE(plugins_come_after_what_they_need_and_otherwise_keep_their_order) {
  const std::vector<DependencyNode> nodes{node("d", {"b", "c"}), node("b", {"a"}), node("x"), node("c", {"a"}), node("a")};
  const auto sorted = orderByDependencies(nodes, nothingLoaded);
  BOOST_TEST(names(nodes, sorted) == "a b c d x");
  BOOST_TEST(sorted.unresolved.empty());
}

BOOST_AUTO_TEST_CASE(a_cycle_is_named_with_its_path_and_fails_all_that_are_in_it) {
  const std::vector<DependencyNode> nodes{node("a", {"b"}), node("b", {"c"}), node("c", {"a"}), node("d")};
  const auto sorted = orderByDependencies(nodes, nothingLoaded);
  BOOST_TEST(names(nodes, sorted) == "d");
  BOOST_REQUIRE(sorted.unresolved.size() == 3u);
  for (const auto& [index, error] : sorted.unresolved) {
    BOOST_TEST((error == Errc::DependencyCycle));
    BOOST_TEST(error.message() == "plugins that need each other: a -> b -> c -> a");
  }
}

BOOST_AUTO_TEST_CASE(a_plugin_that_needs_itself_is_a_cycle) {
  const std::vector<DependencyNode> nodes{node("a", {"a"})};
  BOOST_TEST(orderByDependencies(nodes, nothingLoaded).unresolved.at(0).second.message() ==
             "plugins that need each other: a -> a");
}

BOOST_AUTO_TEST_CASE(who_needs_a_plugin_in_a_cycle_gets_the_reason) {
  const std::vector<DependencyNode> nodes{node("user", {"a"}), node("a", {"b"}), node("b", {"a"})};
  const auto error = orderByDependencies(nodes, nothingLoaded).unresolved.at(0).second;
  BOOST_TEST((error == Errc::DependencyMissing));
  BOOST_TEST(error.message() ==
             "plugin 'user' needs 'a', which cannot be loaded: plugins that need each other: a -> b -> a");
}

BOOST_AUTO_TEST_CASE(a_missing_dependency_is_named_and_so_is_the_chain_behind_it) {
  const std::vector<DependencyNode> nodes{node("c", {"b"}), node("b", {"a"}), node("a", {"Core >= 1.0.0"})};
  const auto sorted = orderByDependencies(nodes, nothingLoaded);
  BOOST_TEST(sorted.order.empty());
  BOOST_REQUIRE(sorted.unresolved.size() == 3u);
  for (const auto& [index, error] : sorted.unresolved) {
    BOOST_TEST((error == Errc::DependencyMissing));
    BOOST_TEST(error.message().find("'Core >= 1.0.0', which is not loaded") != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(a_dependency_that_is_too_old_is_named_with_both_versions) {
  const std::vector<DependencyNode> nodes{node("user", {"Core >= 2.0.0"}), node("Core", {}, "1.4.0")};
  const auto sorted = orderByDependencies(nodes, nothingLoaded);
  BOOST_TEST(names(nodes, sorted) == "Core");
  BOOST_TEST((sorted.unresolved.at(0).second == Errc::DependencyVersion));
  BOOST_TEST(sorted.unresolved.at(0).second.message() ==
             "plugin 'user' needs 'Core >= 2.0.0', but 'Core' has version 1.4.0");
}

BOOST_AUTO_TEST_CASE(plugins_that_are_loaded_already_count) {
  const FindVersion loaded = [](std::string_view name) -> std::optional<Version> {
    if (name == "Core") return Version{1, 4, 0, {}, {}};
    return std::nullopt;
  };
  const std::vector<DependencyNode> nodes{node("fits", {"Core ^1"}), node("not", {"Core ^2"}), node("Core", {}, "2.0.0")};
  const auto sorted = orderByDependencies(nodes, loaded);
  BOOST_TEST(names(nodes, sorted) == "fits");
  BOOST_TEST((sorted.unresolved.at(0).second == Errc::DependencyVersion));
  BOOST_TEST((sorted.unresolved.at(1).second == Errc::DuplicatePlugin));
}

BOOST_AUTO_TEST_CASE(an_optional_dependency_may_be_missing_but_not_in_another_version) {
  const std::vector<DependencyNode> nodes{node("a", {"?none"}), node("b", {"?c"}), node("c"), node("d", {"?c >= 9"})};
  const auto sorted = orderByDependencies(nodes, nothingLoaded);
  BOOST_TEST(names(nodes, sorted) == "a c b");
  BOOST_TEST((sorted.unresolved.at(0).second == Errc::DependencyVersion));
}

BOOST_AUTO_TEST_CASE(of_two_with_one_name_the_first_is_taken) {
  const std::vector<DependencyNode> nodes{node("a", {}, "1.0.0"), node("a", {}, "2.0.0"), node("b", {"a ^1"})};
  const auto sorted = orderByDependencies(nodes, nothingLoaded);
  BOOST_TEST(names(nodes, sorted) == "a b");
  BOOST_TEST(sorted.unresolved.at(0).first == 1u);
  BOOST_TEST((sorted.unresolved.at(0).second == Errc::DuplicatePlugin));
}

BOOST_AUTO_TEST_CASE(a_chain_of_a_hundred_thousand_neither_overflows_the_stack_nor_the_messages) {
  std::vector<DependencyNode> nodes;
  constexpr int count = 100'000;
  for (int i = 0; i < count; ++i)
    nodes.push_back(node("p" + std::to_string(i), {i + 1 < count ? "p" + std::to_string(i + 1) : "missing"}));
  const auto sorted = orderByDependencies(nodes, nothingLoaded);
  BOOST_TEST(sorted.unresolved.size() == static_cast<std::size_t>(count));
  BOOST_TEST(sorted.unresolved.front().second.message().size() < 300u);
}

BOOST_AUTO_TEST_CASE(random_graphs_without_cycles_are_ordered_completely) {
  const auto seed = std::random_device{}();
  BOOST_TEST_MESSAGE("seed " << seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 50; ++round) {
    std::vector<DependencyNode> nodes;
    for (int i = 0; i < 60; ++i) {
      nodes.push_back(node("p" + std::to_string(i)));
      for (int j = 0; j < i; ++j)
        if (random() % 8 == 0) nodes.back().dependencies.push_back(parseDependency("p" + std::to_string(j)).value());
    }
    std::shuffle(nodes.begin(), nodes.end(), random);
    const auto sorted = orderByDependencies(nodes, nothingLoaded);
    BOOST_TEST_CONTEXT("seed " << seed << ", round " << round) {
      BOOST_REQUIRE(sorted.unresolved.empty());
      BOOST_REQUIRE(sorted.order.size() == nodes.size());
      std::vector<std::string> before;
      for (const auto index : sorted.order) {
        for (const auto& wanted : nodes[index].dependencies)
          BOOST_TEST((std::find(before.begin(), before.end(), wanted.name) != before.end()));
        before.push_back(nodes[index].name);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
