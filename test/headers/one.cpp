#include "all_headers.hpp"

const char* version_seen_by_two();

int main() { return version_seen_by_two() == nullptr; }
