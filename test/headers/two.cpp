// What Qt makes of its keywords. Whoever includes its headers first must be able to include these all the same.
#define slots
#define signals public
#define emit
#define foreach(variable, container) for (variable : container)
#define forever for (;;)

#include "all_headers.hpp"

const char* version_seen_by_two();
const char* version_seen_by_two() { return QTFORGE_VERSION; }
