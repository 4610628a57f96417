// An application in C++17 that knows Padstone only as installed. Its argument is the path of a store to make.
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

#include <padstone/padstone.h>

namespace
{
struct closer {
	void operator()(ps_storer *store) const
	{
		if (ps_close(store) != PS_OK)
			std::cerr << "ps_close: " << ps_last_error_message() << '\n';
	}
};
using storer = std::unique_ptr<ps_storer, closer>;

bool round_trip(ps_storer *store)
{
	constexpr std::string_view text = "a pad under every beam";
	ps_id id = PS_ID_NONE;
	struct ps_view view = {}; // the call of the same name hides the struct, as with stat(2)
	if (ps_put(store, text.data(), text.size(), &id) != PS_OK || ps_view(store, id, &view) != PS_OK)
		return false;
	bool same = std::string_view(static_cast<const char *>(view.data), view.len) == text;
	return ps_view_release(&view) == PS_OK && same;
}
} // namespace

int main(int argc, char **argv)
{
	ps_storer *raw = nullptr;
	ps_memory_options options{};
	options.size = sizeof(options);
	if (ps_memory_open(&options, &raw) != PS_OK || !round_trip(storer(raw).get()))
		return 1;
	if (argc != 2 || ps_base_open(argv[1], nullptr, &raw) != PS_OK || !round_trip(storer(raw).get())) {
		std::cerr << ps_last_error_message() << '\n';
		return 1;
	}
	return 0;
}
