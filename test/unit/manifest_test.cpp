// plugin.json: what is read, what is refused and with which words, and where the entry point may lie.

#include "plugin_folder.hpp"

#include <qtforge/core/manifest.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <sys/stat.h>

using namespace qtforge;
using test::contains;

namespace manifest {

constexpr auto least = R"("name": "A", "version": "1.0.0", "language": "python", "entry_point": "a.py")";

Manifest good(const std::string& more) { return parseManifest("{" + std::string(least) + more + "}", "/p").value(); }

// What is wrong in a manifest that is right but for `more`.
std::string wrong(const std::string& more) {
  const auto manifest = parseManifest("{" + std::string(least) + more + "}", "/p");
  BOOST_REQUIRE(!manifest);
  BOOST_TEST((manifest.error() == Errc::ManifestInvalid));
  return manifest.error().message();
}

std::string wrongText(std::string_view text) {
  const auto manifest = parseManifest(text, "/p");
  BOOST_REQUIRE(!manifest);
  BOOST_TEST((manifest.error() == Errc::ManifestInvalid));
  return manifest.error().message();
}

}  // namespace manifest

BOOST_AUTO_TEST_SUITE(manifest)

BOOST_AUTO_TEST_CASE(every_field_is_read_with_its_type) {
  const auto manifest = parseManifest(R"({
    "name": "MyPythonPlugin", "version": "1.2.0-rc.1", "description": "A plugin", "author": "Dev", "license": "MIT",
    "language": "python", "entry_point": "my.py", "main_class": "My",
    "dependencies": ["Core >= 1.0.0", {"name": "Other", "version": "^2", "optional": true}, "Any"],
    "python_requirements": ["numpy>=1.20.0"], "capabilities": ["data-analysis", "x"], "lane": "own",
    "configuration": {
      "debug_mode": {"type": "boolean", "default": false, "description": "Enable debug logging"},
      "timeout": {"type": "integer", "default": 30, "minimum": 1, "maximum": 60},
      "mode": {"type": "string", "enum": ["fast", "exact"], "default": "fast"}
    },
    "python_config": {
      "interpreter": "python3", "virtual_env": "./venv", "sys_path_additions": ["./lib", "./external"],
      "environment_variables": {"PYTHONPATH": "./lib", "PLUGIN_DEBUG": "1"}
    }
  })", "/plugins/my").value();
  BOOST_TEST(manifest.name == "MyPythonPlugin");
  BOOST_TEST(manifest.version.toString() == "1.2.0-rc.1");
  BOOST_TEST(manifest.description == "A plugin");
  BOOST_TEST(manifest.author == "Dev");
  BOOST_TEST(manifest.license == "MIT");
  BOOST_TEST(manifest.language == "python");
  BOOST_TEST(manifest.entryPoint == "my.py");
  BOOST_TEST(manifest.mainClass == "My");
  BOOST_TEST(manifest.folder == "/plugins/my");
  BOOST_REQUIRE(manifest.dependencies.size() == 3u);
  BOOST_TEST(manifest.dependencies[0].toString() == "Core >= 1.0.0");
  BOOST_TEST(manifest.dependencies[1].toString() == "Other ^2");
  BOOST_TEST(manifest.dependencies[1].optional);
  BOOST_TEST(!manifest.dependencies[2].optional);
  BOOST_TEST(manifest.pythonRequirements.at(0) == "numpy>=1.20.0");
  BOOST_TEST(manifest.capabilities.size() == 2u);
  BOOST_TEST((manifest.lane == PluginLane::Own));
  const auto& timeout = manifest.configuration.at("timeout");
  BOOST_TEST((timeout.type == ConfigurationType::Integer));
  BOOST_TEST((*timeout.defaultValue == 30));
  BOOST_TEST((*timeout.minimum == 1));
  BOOST_TEST((*timeout.maximum == 60));
  BOOST_TEST(manifest.configuration.at("mode").allowed.size() == 2u);
  BOOST_TEST(manifest.configuration.at("debug_mode").description == "Enable debug logging");
  BOOST_TEST(manifest.pythonConfig.interpreter == "python3");
  BOOST_TEST(manifest.pythonConfig.virtualEnv == "./venv");
  BOOST_TEST(manifest.pythonConfig.sysPathAdditions.size() == 2u);
  BOOST_TEST(manifest.pythonConfig.environmentVariables.at(1).second == "1");
  BOOST_TEST(manifest.warnings.empty());
}

BOOST_AUTO_TEST_CASE(what_is_optional_may_be_missing) {
  const auto manifest = good("");
  BOOST_TEST((manifest.lane == PluginLane::Shared));
  BOOST_TEST(manifest.dependencies.empty());
  BOOST_TEST(manifest.mainClass.empty());
}

BOOST_AUTO_TEST_CASE(native_languages_have_one_name) {
  for (const auto* language : {"cpp", "c++", "native"})
    BOOST_TEST(parseManifest(R"({"name":"A","version":"1.0.0","entry_point":"a.so","language":")" +
                                 std::string(language) + "\"}", "/p").value().language == "cpp");
}

BOOST_AUTO_TEST_CASE(a_wrong_type_is_named_with_pointer_expectation_and_what_came) {
  BOOST_TEST(wrongText(R"({"name": "A", "version": "1.0.0", "language": "python", "entry_point": 3})") ==
             "/p/plugin.json: /entry_point: expected a string, got a number");
  BOOST_TEST(wrong(R"(, "dependencies": {})") == "/p/plugin.json: /dependencies: expected an array, got an object");
  BOOST_TEST(wrong(R"(, "capabilities": ["a", null])") ==
             "/p/plugin.json: /capabilities/1: expected a string, got null");
  BOOST_TEST(wrong(R"(, "python_config": {"environment_variables": {"A/B~": 1}})") ==
             "/p/plugin.json: /python_config/environment_variables/A~1B~0: expected a string, got a number");
  BOOST_TEST(wrong(R"(, "lane": "two")") == "/p/plugin.json: /lane: expected \"shared\" or \"own\", got \"two\"");
  BOOST_TEST(wrong(R"(, "configuration": {"n": {"type": "int"}})") ==
             "/p/plugin.json: /configuration/n/type: expected \"boolean\", \"integer\", \"number\", \"string\", "
             "\"array\" or \"object\", got \"int\"");
  BOOST_TEST(wrongText("[]") == "/p/plugin.json: /: expected an object, got an array");
}

BOOST_AUTO_TEST_CASE(all_that_is_wrong_is_told_at_once) {
  const auto text = wrongText(R"({"name": "", "version": "1", "language": 2})");
  BOOST_TEST(contains(text, "/entry_point: required, but missing"));
  BOOST_TEST(contains(text, "/name: plugin name \"\": it is empty"));
  BOOST_TEST(contains(text, "/version: version \"1\": expected MAJOR.MINOR.PATCH"));
  BOOST_TEST(contains(text, "/language: expected a string, got a number"));
}

BOOST_AUTO_TEST_CASE(names_and_versions_are_checked) {
  BOOST_TEST(contains(wrong(R"(, "dependencies": ["Core >= x"])"), "/dependencies/0: dependency \"Core >= x\""));
  BOOST_TEST(contains(wrong(R"(, "dependencies": [{"version": "1"}])"), "/dependencies/0/name: required"));
  BOOST_TEST(contains(wrong(R"(, "dependencies": [{"name": "a/b", "version": "x"}])"), "/dependencies/0/version"));
  BOOST_TEST(contains(wrong(R"(, "dependencies": ["a", "a ^1"])"), "/dependencies/1: \"a\" is named twice"));
  BOOST_TEST(contains(wrongText(R"({"name":"../x","version":"1.0.0","language":"cpp","entry_point":"a"})"), "/name"));
}

BOOST_AUTO_TEST_CASE(a_configuration_must_agree_with_itself) {
  BOOST_TEST(contains(wrong(R"(, "configuration": {"n": {"type": "integer", "default": 1.5}})"),
                      "/configuration/n/default: expected a value of type integer, got 1.5"));
  BOOST_TEST(contains(wrong(R"(, "configuration": {"n": {"type": "integer", "default": 9, "maximum": 5}})"),
                      "/configuration/n/default: expected at most 5, got 9"));
  BOOST_TEST(contains(wrong(R"(, "configuration": {"n": {"type": "string", "default": "c", "enum": ["a", "b"]}})"),
                      "/configuration/n/default: expected one of \"a\", \"b\", got \"c\""));
  BOOST_TEST(contains(wrong(R"(, "configuration": {"n": {"type": "integer", "minimum": 2, "maximum": 1}})"),
                      "/configuration/n/minimum: expected no more than the maximum"));
  BOOST_TEST(contains(wrong(R"(, "configuration": {"n": {"type": "string", "minimum": 2}})"),
                      "/configuration/n/minimum: only numbers have one"));
  BOOST_TEST(contains(wrong(R"(, "configuration": {"n": {"default": 2}})"), "/configuration/n/type: required"));
  BOOST_TEST(good(R"(, "configuration": {"n": {"type": "number", "default": 18446744073709551615, "minimum": -1}})")
                 .configuration.contains("n"));
}

BOOST_AUTO_TEST_CASE(patterns_and_items_are_read) {
  const auto manifest = good(R"(, "configuration": {"codes": {"type": "array", "items":
    {"type": "string", "pattern": "^[A-Z]{2}$", "description": "a country"}, "default": ["DE"]}})");
  const auto& codes = manifest.configuration.at("codes");
  BOOST_REQUIRE(codes.items);
  BOOST_TEST(codes.items->description == "a country");
  BOOST_TEST(codes.items->pattern->toString() == "^[A-Z]{2}$");
  BOOST_TEST(checkConfigurationValue(codes, boost::json::array{"FR", "IT"}, "/codes").has_value());
  BOOST_TEST(checkConfigurationValue(codes, boost::json::array{"FR", "it"}, "/codes").error().message() ==
             "/codes/1: expected text that matches ^[A-Z]{2}$, got \"it\"");
  BOOST_TEST(contains(wrong(R"(, "configuration": {"n": {"type": "string", "pattern": "a(b"}})"),
                      "/configuration/n/pattern: pattern \"a(b\": expected ')' at offset 3"));
}

BOOST_AUTO_TEST_CASE(an_integer_may_be_written_with_a_point_and_has_64_bits) {
  const auto manifest = good(R"(, "configuration": {"n": {"type": "integer", "default": 30.0, "enum": [30, 31.0]}})");
  const auto& entry = manifest.configuration.at("n");
  BOOST_TEST(entry.defaultValue->is_int64());
  BOOST_TEST(entry.allowed[1].is_int64());
  BOOST_TEST(checkConfigurationValue(entry, 31.0, "/n").has_value());
  BOOST_TEST(contains(wrong(R"(, "configuration": {"n": {"type": "integer", "default": 1e30}})"),
                      "/default: expected a value of type integer, got 1E30"));
  BOOST_TEST(contains(wrong(R"(, "configuration": {"n": {"type": "number", "default": 1e999}})"), "/default: expected"));
}

BOOST_AUTO_TEST_CASE(many_dependencies_and_choices_take_no_time) {
  std::string names;
  for (int i = 0; i < 100'000; ++i) names += (i ? ",\"" : "\"") + std::to_string(i) + '"';
  BOOST_TEST(good(R"(, "dependencies": [)" + names + "]").dependencies.size() == 100'000u);
  BOOST_TEST(contains(wrong(R"(, "configuration": {"n": {"type": "string", "enum": [)" + names + "]}}"),
                      "/enum: expected an array of 1 to 256 values"));
}

BOOST_AUTO_TEST_CASE(unknown_fields_are_warned_of_with_the_nearest_known_one) {
  const auto manifest = good(R"(, "entrypoint": "x", "zzz": 1, "mainClass": "A", "configuration": {"n": {"type": "string", "defualt": ""}})");
  BOOST_REQUIRE(manifest.warnings.size() == 4u);
  const auto all = manifest.warnings[0] + manifest.warnings[1] + manifest.warnings[2] + manifest.warnings[3];
  BOOST_TEST(contains(all, "/entrypoint: unknown field, ignored; did you mean \"entry_point\"?"));
  BOOST_TEST(contains(all, "/mainClass: unknown field, ignored; did you mean \"main_class\"?"));
  BOOST_TEST(contains(all, "/configuration/n/defualt: unknown field, ignored; did you mean \"default\"?"));
  BOOST_TEST(contains(all, "/zzz: unknown field, ignored"));
  BOOST_TEST(!contains(all, "/zzz: unknown field, ignored;"));
}

BOOST_AUTO_TEST_CASE(unknown_fields_are_warned_of_at_every_level) {
  const auto manifest = good(R"(, "dependancies": [], "dependencies": [{"name": "b", "verison": "1"}],
    "configuration": {"n": {"type": "array", "description ": "", "items": {"type": "string", "patern": "", "default": ""}}},
    "python_config": {"virtualenv": "", "environment_variables": {"anything": "goes"}})");
  std::string all;
  for (const auto& warning : manifest.warnings) all += warning + '\n';
  BOOST_TEST(manifest.warnings.size() == 6u);
  BOOST_TEST(contains(all, "/dependancies: unknown field, ignored; did you mean \"dependencies\"?"));
  BOOST_TEST(contains(all, "/dependencies/0/verison: unknown field, ignored; did you mean \"version\"?"));
  BOOST_TEST(contains(all, "/configuration/n/description : unknown field, ignored; did you mean \"description\"?"));
  BOOST_TEST(contains(all, "/configuration/n/items/patern: unknown field, ignored; did you mean \"pattern\"?"));
  BOOST_TEST(contains(all, "/configuration/n/items/default: unknown field, ignored\n"));
  BOOST_TEST(contains(all, "/python_config/virtualenv: unknown field, ignored; did you mean \"virtual_env\"?"));
}

BOOST_AUTO_TEST_CASE(syntax_errors_have_offset_and_line) {
  const auto text = wrongText("{\n  \"name\": \"A\",\n  oops\n}");
  BOOST_TEST(contains(text, "/p/plugin.json: not valid JSON: "));
  BOOST_TEST(contains(text, "at offset 19 (line 3)"));
  BOOST_TEST(contains(wrongText(""), "incomplete JSON at offset 0"));
  BOOST_TEST(contains(wrongText("{} {}"), "extra data at offset 3"));
  BOOST_TEST(contains(wrongText("{\"name\": \"\xFF\"}"), "not valid JSON"));
}

BOOST_AUTO_TEST_CASE(a_byte_order_mark_is_skipped) {
  BOOST_TEST(parseManifest("\xEF\xBB\xBF{" + std::string(least) + "}", "/p").has_value());
}

BOOST_AUTO_TEST_CASE(depth_and_size_are_limited) {
  BOOST_TEST(contains(wrongText(std::string(100'000, '[')), "nested deeper than 32"));
  BOOST_TEST(contains(wrongText(std::string(maxManifestSize + 1, ' ')), "larger than 1 MiB"));
}

BOOST_AUTO_TEST_CASE(a_folder_or_manifest_that_is_missing_is_named) {
  const test::Folder folder;
  const auto none = readManifest(folder / "none");
  BOOST_TEST((none.error() == Errc::ManifestNotFound));
  BOOST_TEST(none.error().message() == "'" + (folder / "none").string() + "': no such folder");
  const auto empty = readManifest(folder.path());
  BOOST_TEST((empty.error() == Errc::ManifestNotFound));
  BOOST_TEST(contains(empty.error().message(), "no plugin.json in it"));
  BOOST_TEST((readManifest(folder.write("file", "")).error() == Errc::ManifestNotFound));
}

BOOST_AUTO_TEST_CASE(a_manifest_that_is_no_regular_file_or_leaves_the_folder_is_refused) {
  const test::Folder folder;
  const auto outside = folder.write("outside.json", "{" + std::string(least) + "}");
  test::fs::create_directories(folder / "linked");
  test::fs::create_symlink(outside, folder / "linked/plugin.json");
  BOOST_TEST((readManifest(folder / "linked").error() == Errc::ManifestInvalid));
  BOOST_TEST(contains(readManifest(folder / "linked").error().message(), "a link leads out of the plugin's folder"));
  test::fs::create_directories(folder / "fifo");
  BOOST_REQUIRE(::mkfifo((folder / "fifo/plugin.json").c_str(), 0600) == 0);
  BOOST_TEST(contains(readManifest(folder / "fifo").error().message(), "not a regular file"));
}

BOOST_AUTO_TEST_CASE(an_entry_point_must_lie_in_the_folder) {
  const test::Folder folder;
  folder.write("outside.py", "");
  folder.write("p/inside.py", "");
  folder.write("p/sub/deep.py", "");
  folder.write("plain", "");
  test::fs::create_symlink("../outside.py", folder / "p/link.py");
  test::fs::create_symlink("inside.py", folder / "p/good_link.py");
  test::fs::create_directory_symlink(folder.path(), folder / "p/up");
  test::fs::create_directory_symlink(folder / "p", folder / "alias");
  Manifest manifest;
  manifest.folder = folder / "p";
  const auto refused = [&](const std::string& entry) {
    manifest.entryPoint = entry;
    const auto path = resolveEntryPoint(manifest);
    BOOST_REQUIRE_MESSAGE(!path, entry);
    BOOST_TEST((path.error() == Errc::EntryPointInvalid));
    BOOST_TEST(path.error().message().starts_with("plugin.json: /entry_point: "));
    return path.error().message();
  };
  BOOST_TEST(contains(refused("../outside.py"), "contains '..'"));
  BOOST_TEST(contains(refused("sub/../inside.py"), "contains '..'"));
  BOOST_TEST(contains(refused((folder / "p/inside.py").string()), "is absolute"));
  BOOST_TEST(contains(refused("link.py"), "a link leads out"));
  BOOST_TEST(contains(refused("up/outside.py"), "a link leads out"));
  BOOST_TEST(contains(refused("missing.py"), "No such file"));
  BOOST_TEST(contains(refused("sub"), "not a regular file"));
  BOOST_TEST(contains(refused(""), "empty"));
  BOOST_TEST(contains(refused(std::string("inside.py\0.txt", 14)), "NUL"));
  for (const auto* entry : {"inside.py", "sub/deep.py", "good_link.py", "./inside.py"}) {
    manifest.entryPoint = entry;
    BOOST_TEST(resolveEntryPoint(manifest).has_value());
  }
  manifest.folder = folder / "alias";  // the folder itself may be a link
  manifest.entryPoint = "inside.py";
  BOOST_TEST(resolveEntryPoint(manifest).value() == test::fs::canonical(folder / "p/inside.py"));
}

BOOST_AUTO_TEST_SUITE_END()
