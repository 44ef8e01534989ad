#pragma once

#include <string>
#include <string_view>

namespace flyweight::search {

// Path patterns as in .gitignore: `*` and `?` stay within a name, `**` crosses directories, `[a-z]` and `[!a-z]` are
// sets,
// `\` quotes. A pattern without a slash matches a name at any depth; one with a slash starts at the root. A pattern
// that matches a directory matches all that is beneath it. Linear in pattern times path; no recursion.
bool glob_matches(std::string_view pattern, std::string_view path);

// What is wrong with a pattern, or an empty string.
std::string glob_fault(std::string_view pattern);

}  // namespace flyweight::search
