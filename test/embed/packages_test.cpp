// PackageManager from C++, on environments of the tests' own and with a folder of wheels: no network.

#include "../unit/plugin_folder.hpp"

#include <qtforge/python/package_manager.hpp>
#include <qtforge/python/python_executor.hpp>
#include <qtforge/python/python_integration.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/test/unit_test.hpp>

#include <thread>

using namespace qtforge;
using namespace std::chrono_literals;
using python::PackageManager;
using python::PackageOptions;

namespace packages_test {

/// A folder with an empty environment `venv`, and wheels: beta 1.0 and 2.0, alpha 1.0 which needs beta.
struct Place : test::Folder {
  Place() {
    python::PythonExecutor python;
    const auto support = std::filesystem::path(std::getenv("QTFORGE_TEST_PLUGINS")) / "../python/support/wheels.py";
    const auto made = python.execute(
        "import os, runpy, venv\n"
        "wheel = runpy.run_path('" + support.string() + "')['wheel']\n"
        "folder = '" + path().string() + "/'\n"
        "os.mkdir(folder + 'wheels')\n"
        "wheel(folder + 'wheels', 'beta', '1.0')\n"
        "wheel(folder + 'wheels', 'beta', '2.0')\n"
        "wheel(folder + 'wheels', 'alpha', '1.0', requires=['beta'])\n"
        "venv.create(folder + 'venv')\n");
    if (!made) throw std::runtime_error(made.error().message());
  }

  [[nodiscard]] PackageOptions options() const {
    PackageOptions options;
    options.environment = path() / "venv";
    options.source.wheelFolders = {(path() / "wheels").string()};
    options.source.offline = true;
    return options;
  }
};

std::string text(const std::vector<python::PackageChange>& changes) {
  std::string all;
  for (const auto& one : changes) all += one.name + "[" + one.before + "," + one.after + "]";
  return all;
}

}  // namespace packages_test

using namespace packages_test;

BOOST_AUTO_TEST_SUITE(package_manager)

BOOST_AUTO_TEST_CASE(packages_are_installed_listed_checked_and_taken_away) {
  const Place place;
  std::vector<std::string> steps;
  auto options = place.options();
  options.onProgress = [&](const python::PackageProgress& progress) {
    if (progress.line.empty() && (steps.empty() || steps.back() != progress.step)) steps.push_back(progress.step);
  };
  const PackageManager packages(options);
  auto result = packages.installPackages({"alpha", "beta<2"});
  BOOST_REQUIRE(result);
  BOOST_TEST(text(*result) == "alpha[,1.0]beta[,1.0]");
  BOOST_TEST(steps == (std::vector<std::string>{"plan", "install"}), boost::test_tools::per_element());
  const auto list = packages.list().value();
  BOOST_REQUIRE(list.size() == 2u);
  BOOST_TEST(list[1].name == "beta");
  BOOST_TEST(list[1].version == "1.0");
  BOOST_TEST(std::filesystem::exists(list[1].location / "beta.py"));
  const auto problems = packages.check({"beta>=2", "alpha"}).value();
  BOOST_REQUIRE(problems.size() == 1u);
  BOOST_TEST(problems[0].requirement == "beta>=2");
  BOOST_TEST(problems[0].installed == "1.0");
  BOOST_TEST(packages.check().value().empty());
  BOOST_TEST(text(packages.uninstall({"alpha"}).value()) == "alpha[1.0,]");
  BOOST_TEST(packages.list().value().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_lock_file_gives_the_same_packages_in_a_new_environment) {
  const Place place;
  BOOST_REQUIRE(PackageManager(place.options()).lock({"alpha", "beta<2"}, place / "lock.txt"));
  auto options = place.options();
  options.environment = place / "other";
  PackageManager here;
  BOOST_REQUIRE(here.createEnvironment(options.environment));
  BOOST_TEST((here.createEnvironment(options.environment).error() == Errc::FileFailed));
  const PackageManager packages(options);
  BOOST_TEST(text(packages.sync(place / "lock.txt").value()) == "alpha[,1.0]beta[,1.0]");
  BOOST_REQUIRE(packages.installPackages({"beta==2"}));
  BOOST_REQUIRE(packages.uninstall({"alpha"}));
  BOOST_TEST(text(packages.sync(place / "lock.txt", PackageManager::Others::Remove).value()) == "alpha[,1.0]beta[2.0,1.0]");
}

BOOST_AUTO_TEST_CASE(what_goes_wrong_is_an_error_with_its_code) {
  const Place place;
  const PackageManager packages(place.options());
  const auto missing = packages.installPackages({"qtforge-there-is-no-such-package==9"});
  BOOST_TEST((missing.error() == Errc::InstallFailed));
  BOOST_TEST(missing.error().message().find("qtforge-there-is-no-such-package") != std::string::npos);
  BOOST_TEST((packages.installPackages({"--index-url=http://x"}).error() == Errc::InvalidArgument));
  BOOST_TEST((packages.installNamed({"alpha @ file:///x"}).error() == Errc::InvalidArgument));
  BOOST_TEST((packages.uninstall({"nobody"}).error() == Errc::NameNotFound));
  auto options = place.options();
  options.environment = place / "none";
  BOOST_TEST((PackageManager(options).list().error() == Errc::PythonNotFound));
  BOOST_TEST((packages.sync(place / "none.txt").error() == Errc::FileFailed));
  options = place.options();
  options.timeout = 1ms;
  BOOST_TEST((PackageManager(options).installPackages({"beta"}).error() == Errc::TimedOut));
  options = place.options();
  options.onProgress = [](const auto&) { throw std::runtime_error("enough"); };
  const auto thrown = PackageManager(options).installPackages({"beta"}).error();
  BOOST_TEST((thrown == Errc::HandlerFailed));
  BOOST_TEST(thrown.message().find("enough") != std::string::npos);
  BOOST_TEST(packages.list().value().empty());
}

BOOST_AUTO_TEST_CASE(a_stop_request_ends_an_install_and_leaves_what_was) {
  const Place place;
  std::stop_source stop;
  auto options = place.options();
  options.stop = stop.get_token();
  std::jthread other;
  options.onProgress = [&](const python::PackageProgress& progress) {
    // From another thread, which does not have the GIL and gets it not.
    if (progress.step == "install" && !other.joinable()) other = std::jthread([&] { stop.request_stop(); }), other.join();
  };
  const auto stopped = PackageManager(options).installPackages({"alpha"});
  BOOST_TEST((stopped.error() == Errc::Cancelled));
  BOOST_TEST(PackageManager(place.options()).list().value().empty());
  BOOST_TEST((PackageManager(options).installPackages({"alpha"}).error() == Errc::Cancelled));
}

BOOST_AUTO_TEST_SUITE_END()
