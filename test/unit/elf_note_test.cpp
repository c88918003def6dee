// What is read of a shared object before its code runs, from good, wrong and damaged files.

#include "plugin_folder.hpp"

#include <qtforge/core/detail/elf_note.hpp>

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <iterator>
#include <random>
#include <string>

using namespace qtforge;
using test::contains;

namespace elf_note {

expected<void> check(const test::fs::path& path, std::string_view tag = QTFORGE_ABI_TAG) {
  const auto file = detail::File::open(path, Errc::EntryPointInvalid);
  if (!file) return file.error();
  return detail::checkElfPlugin(*file, path.string(), tag);
}

std::string bytes(const test::fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace elf_note

BOOST_AUTO_TEST_SUITE(elf_note)

BOOST_AUTO_TEST_CASE(a_plugin_has_the_tag_and_one_export) {
  const auto path = test::library("good");
  const auto file = detail::File::open(path, Errc::EntryPointInvalid).value();
  const auto note = detail::ElfReader(file, path.string()).read().value();
  BOOST_TEST(note.abiTag.value_or("none") == QTFORGE_ABI_TAG);
  BOOST_TEST(note.hasEntry);
  BOOST_TEST(note.others.empty());
  BOOST_TEST(check(path).has_value());
}

BOOST_AUTO_TEST_CASE(another_tag_is_a_mismatch_that_prints_both) {
  const auto wrong = check(test::library("other_abi"));
  BOOST_TEST((wrong.error() == Errc::AbiMismatch));
  BOOST_TEST(contains(wrong.error().message(), "qtforge=9.9 boost=0_00"));
  BOOST_TEST(contains(wrong.error().message(), QTFORGE_ABI_TAG));
  BOOST_TEST((check(test::library("good"), "another host").error() == Errc::AbiMismatch));
}

BOOST_AUTO_TEST_CASE(a_library_without_the_macro_is_told_what_is_missing) {
  const auto wrong = check(test::library("plain"));
  BOOST_TEST((wrong.error() == Errc::NotAPlugin));
  BOOST_TEST(contains(wrong.error().message(), "QTFORGE_PLUGIN"));
}

BOOST_AUTO_TEST_CASE(a_tag_without_the_entry_is_no_plugin) {
  const auto wrong = check(test::library("no_entry"));
  BOOST_TEST((wrong.error() == Errc::NotAPlugin));
  BOOST_TEST(contains(wrong.error().message(), "does not export qtforge_plugin_v1"));
}

BOOST_AUTO_TEST_CASE(more_exports_are_refused_with_some_names_and_the_remedy) {
  const auto wrong = check(test::library("exports"));
  BOOST_TEST((wrong.error() == Errc::NotAPlugin));
  BOOST_TEST(contains(wrong.error().message(), "exports more than its entry: "));
  BOOST_TEST(contains(wrong.error().message(), "pkg-config --libs qtforge-plugin"));
}

BOOST_AUTO_TEST_CASE(what_is_no_shared_object_is_refused) {
  const test::Folder folder;
  for (const std::string& text : {std::string(), std::string("\x7F"), std::string("\x7F" "ELF"), std::string("#!/bin/sh\n"),
                                  std::string(4096, '\0')}) {
    const auto wrong = check(folder.write("x.so", text));
    BOOST_TEST((wrong.error() == Errc::NotAPlugin));
  }
  BOOST_TEST((check(folder / "none.so").error() == Errc::EntryPointInvalid));
  BOOST_TEST((check(folder.path()).error() == Errc::EntryPointInvalid));
  BOOST_TEST(!check("/proc/self/exe"));
}

BOOST_AUTO_TEST_CASE(another_processor_is_a_mismatch) {
  const test::Folder folder;
  auto text = bytes(test::library("good"));
  text[18] = static_cast<char>(text[18] ^ 0x55);  // e_machine
  BOOST_TEST((check(folder.write("x.so", text)).error() == Errc::AbiMismatch));
}

BOOST_AUTO_TEST_CASE(a_library_without_section_headers_has_no_tag) {
  const test::Folder folder;
  auto text = bytes(test::library("good"));
  detail::ElfHeader header;
  std::memcpy(&header, text.data(), sizeof header);
  header.e_shoff = 0;
  header.e_shnum = 0;
  std::memcpy(text.data(), &header, sizeof header);
  const auto wrong = check(folder.write("x.so", text));
  BOOST_TEST((wrong.error() == Errc::NotAPlugin));
  BOOST_TEST(contains(wrong.error().message(), "no section qtforge_abi"));
}

BOOST_AUTO_TEST_CASE(files_cut_short_or_with_flipped_bytes_are_refused_or_read_but_never_crash) {
  const auto seed = std::random_device{}();
  BOOST_TEST_MESSAGE("seed " << seed);
  std::mt19937 random(seed);
  const test::Folder folder;
  const auto whole = bytes(test::library("core"));
  detail::ElfHeader header;
  std::memcpy(&header, whole.data(), sizeof header);
  for (int round = 0; round < 600; ++round) {
    auto text = whole;
    if (round % 3 == 0) text.resize(random() % text.size());
    const int flips = 1 + static_cast<int>(random() % 8);
    for (int i = 0; i < flips && !text.empty(); ++i) {
      // Headers and section headers are where it hurts.
      auto at = random() % 3 == 0 ? random() % sizeof header : header.e_shoff + random() % (header.e_shnum * sizeof(detail::ElfSection));
      if (at >= text.size()) at = random() % text.size();
      text[at] = static_cast<char>(random());
    }
    (void)check(folder.write("x.so", text));
  }
}

BOOST_AUTO_TEST_SUITE_END()
