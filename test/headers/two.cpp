#include "all_headers.hpp"

const char* version_seen_by_two();
const char* version_seen_by_two() { return QTFORGE_VERSION; }
