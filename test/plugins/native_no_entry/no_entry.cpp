// Has the right tag, but not the entry.

#include <qtforge/utils/config.hpp>

__attribute__((section("qtforge_abi"), used)) static const char tag[] = QTFORGE_ABI_TAG;
