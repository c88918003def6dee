#include "hosts.hpp"

#include <iostream>
#include <map>
#include <string_view>

int main(int argc, char** argv) {
  const std::map<std::string_view, int (*)(int, char**)> all{{"config", hosts::config},
                                                             {"exits", hosts::exits},
                                                             {"hostile", hosts::hostile},
                                                             {"limits", hosts::limits},
                                                             {"no_memory", hosts::noMemory},
                                                             {"packages", hosts::packages},
                                                             {"soak", hosts::soak}};
  const auto host = all.find(argc > 1 ? argv[1] : "");
  if (host != all.end()) return host->second(argc - 1, argv + 1);
  std::cerr << "one of these, please:";
  for (const auto& [name, run] : all) std::cerr << ' ' << name;
  std::cerr << '\n';
  return 2;
}
