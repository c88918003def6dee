#pragma once
// qtforge/core/detail/elf_note.hpp: what a shared object says about itself before any of its code runs: the ABI tag in
// its section, and the symbols it exports. See elf(5). The file may be hostile: everything read is checked first.

#include <qtforge/core/detail/file.hpp>
#include <qtforge/core/detail/plugin_table.hpp>

#include <bit>
#include <elf.h>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::detail {

struct ElfNote {
  std::optional<std::string> abiTag;  // none without the section
  bool hasEntry = false;              // qtforge_plugin_v1 is a defined global symbol
  std::vector<std::string> others;    // the first of the other defined global symbols, no more than maxOthers
};

#if defined(__LP64__)
using ElfHeader = Elf64_Ehdr;
using ElfSection = Elf64_Shdr;
using ElfSymbol = Elf64_Sym;
inline constexpr unsigned char elfClass = ELFCLASS64;
#else
using ElfHeader = Elf32_Ehdr;
using ElfSection = Elf32_Shdr;
using ElfSymbol = Elf32_Sym;
inline constexpr unsigned char elfClass = ELFCLASS32;
#endif

#if defined(__x86_64__)
inline constexpr unsigned elfMachine = EM_X86_64;
#elif defined(__aarch64__)
inline constexpr unsigned elfMachine = EM_AARCH64;
#elif defined(__i386__)
inline constexpr unsigned elfMachine = EM_386;
#elif defined(__arm__)
inline constexpr unsigned elfMachine = EM_ARM;
#elif defined(__riscv)
inline constexpr unsigned elfMachine = EM_RISCV;
#else
inline constexpr unsigned elfMachine = EM_NONE;  // not compared
#endif

class ElfReader {
 public:
  static constexpr std::size_t maxOthers = 6;

  ElfReader(const File& file, std::string name) : file_(file), name_(std::move(name)) {}

  /// @return the note, or
  ///   - Errc::NotAPlugin   no shared object, or damaged: the message says where
  ///   - Errc::AbiMismatch  made for another processor
  expected<ElfNote> read() {
    if (auto read = readHeader(); !read) return read.error();
    ElfNote note;
    for (std::size_t i = 0; i < sections_.size(); ++i) {
      const auto& section = sections_[i];
      if (section.sh_type == SHT_DYNSYM) {
        if (auto read = readSymbols(section, note); !read) return read.error();
      } else if (section.sh_type == SHT_PROGBITS && nameOf(section) == abiTagSection) {
        auto tag = readTag(section);
        if (!tag) return tag.error();
        note.abiTag = std::move(*tag);
      }
    }
    return note;
  }

 private:
  static constexpr std::uint64_t maxTable = 256u << 20;  // of one table, in bytes: beyond, the file is not a plugin
  static constexpr std::uint64_t maxTag = 4096;

  [[nodiscard]] Error damaged(const char* what) const {
    return Error(Errc::NotAPlugin, "'" + name_ + "' is not a usable shared object: " + what);
  }

  expected<void> readHeader() {
    if (!file_.readAt(0, &header_, sizeof header_) || std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0)
      return damaged("no ELF header");
    const auto order = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
    if (header_.e_ident[EI_CLASS] != elfClass || header_.e_ident[EI_DATA] != order ||
        (elfMachine != EM_NONE && header_.e_machine != elfMachine))
      return Error(Errc::AbiMismatch, "'" + name_ + "' was built for another processor (ELF machine " +
                                          std::to_string(header_.e_machine) + ", this program has " +
                                          std::to_string(elfMachine) + ")");
    if (header_.e_type != ET_DYN) return damaged("another kind of ELF file");
    if (header_.e_shoff == 0) return {};  // no sections: no tag either
    if (header_.e_shentsize != sizeof(ElfSection)) return damaged("section headers of another size");
    std::uint64_t count = header_.e_shnum;
    std::uint32_t names = header_.e_shstrndx;
    if (count == 0 || names == SHN_XINDEX) {  // too many for the header: section 0 has the numbers
      ElfSection first;
      if (!file_.readAt(header_.e_shoff, &first, sizeof first)) return damaged("section headers outside the file");
      if (count == 0) count = first.sh_size;
      if (names == SHN_XINDEX) names = first.sh_link;
    }
    if (!readTable(header_.e_shoff, count, sections_)) return damaged("section headers outside the file");
    if (names != SHN_UNDEF) {
      if (names >= sections_.size()) return damaged("no section with the section names");
      if (!readBytes(sections_[names], sectionNames_)) return damaged("section names outside the file");
    }
    return {};
  }

  template <class T>
  expected<void> readTable(std::uint64_t offset, std::uint64_t count, std::vector<T>& to) const {
    if (count > maxTable / sizeof(T) || count * sizeof(T) > file_.size()) return damaged("a table is too large");
    to.resize(static_cast<std::size_t>(count));
    if (!file_.readAt(offset, to.data(), to.size() * sizeof(T))) return damaged("a table outside the file");
    return {};
  }

  bool readBytes(const ElfSection& section, std::string& to) const {
    if (section.sh_type == SHT_NOBITS || section.sh_size > maxTable || section.sh_size > file_.size()) return false;
    to.resize(static_cast<std::size_t>(section.sh_size));
    return file_.readAt(section.sh_offset, to.data(), to.size());
  }

  static std::string_view textAt(const std::string& table, std::uint64_t offset) {
    if (offset >= table.size()) return {};
    const auto rest = std::string_view(table).substr(static_cast<std::size_t>(offset));
    const auto end = rest.find('\0');
    return end == std::string_view::npos ? std::string_view() : rest.substr(0, end);
  }
  [[nodiscard]] std::string_view nameOf(const ElfSection& section) const {
    return textAt(sectionNames_, section.sh_name);
  }

  [[nodiscard]] expected<std::string> readTag(const ElfSection& section) const {
    std::string tag;
    if (section.sh_size > maxTag || !readBytes(section, tag)) return damaged("its section qtforge_abi is damaged");
    const auto end = tag.find('\0');
    if (end == std::string::npos) return damaged("its section qtforge_abi does not end");
    tag.resize(end);
    return tag;
  }

  expected<void> readSymbols(const ElfSection& section, ElfNote& note) const {
    if (section.sh_entsize != sizeof(ElfSymbol) || section.sh_link >= sections_.size())
      return damaged("its dynamic symbol table is damaged");
    std::vector<ElfSymbol> symbols;
    std::string names;
    if (!readTable(section.sh_offset, section.sh_size / sizeof(ElfSymbol), symbols) ||
        !readBytes(sections_[section.sh_link], names))
      return damaged("its dynamic symbol table is damaged");
    for (const auto& symbol : symbols) {
      const auto binding = symbol.st_info >> 4;  // ELF32_ST_BIND and ELF64_ST_BIND alike
      const auto visibility = symbol.st_other & 0x3;
      if (symbol.st_shndx == SHN_UNDEF || binding == STB_LOCAL) continue;
      if (visibility == STV_HIDDEN || visibility == STV_INTERNAL) continue;
      if (symbol.st_shndx == SHN_ABS && symbol.st_size == 0) continue;  // the name of a symbol version
      const auto name = textAt(names, symbol.st_name);
      if (name == pluginEntryName) note.hasEntry = true;
      else if (note.others.size() < maxOthers) note.others.emplace_back(name);
    }
    return {};
  }

  const File& file_;
  std::string name_;
  ElfHeader header_{};
  std::vector<ElfSection> sections_;
  std::string sectionNames_;
};

/// Whether a shared object may be loaded as a plugin of this host, from what it says about itself.
///
/// @return nothing, or
///   - Errc::NotAPlugin   no shared object, no tag, no entry, or more exports than the entry: what to do is said
///   - Errc::AbiMismatch  another tag: both are printed; or another processor
inline expected<void> checkElfPlugin(const File& file, const std::string& name,
                                     std::string_view ownTag = QTFORGE_ABI_TAG) {
  const auto note = ElfReader(file, name).read();
  if (!note) return note.error();
  if (!note->abiTag)
    return Error(Errc::NotAPlugin, "'" + name + "' is not a qtforge plugin: it has no section qtforge_abi. Write "
                                   "QTFORGE_PLUGIN(YourClass) once in it, and do not strip its section headers");
  if (*note->abiTag != ownTag)
    return Error(Errc::AbiMismatch, "'" + name + "' was built as \"" + *note->abiTag + "\", this program as \"" +
                                        std::string(ownTag) + "\": build both with the same settings and Boost");
  if (!note->hasEntry)
    return Error(Errc::NotAPlugin, "'" + name + "' does not export " + pluginEntryName +
                                       ": write QTFORGE_PLUGIN(YourClass) once at global scope");
  if (note->others.empty()) return {};
  std::string others;
  for (std::size_t i = 0; i < note->others.size() && i < 5; ++i) others += (i == 0 ? "" : ", ") + note->others[i];
  return Error(Errc::NotAPlugin, "'" + name + "' exports more than its entry: " + others +
                                     (note->others.size() > 5 ? ", ..." : "") +
                                     ". Link it with the version script of `pkg-config --libs qtforge-plugin`");
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
