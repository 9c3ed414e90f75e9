import Testing

@testable import NodeAgent

@Suite struct NodeFactsTests {
    @Test func readsTheKernelsTexts() {
        #expect(NodeFacts.memory("MemTotal:       24598412 kB\nMemFree: 1 kB\n") == 24_598_412 * 1024)
        #expect(NodeFacts.memory("nothing") == 0)
        #expect(NodeFacts.hasSwap("Filename\tType\n/swap file 1 0 -2\n"))
        #expect(!NodeFacts.hasSwap("Filename\tType\n"))
        #expect(
            NodeFacts.operatingSystem("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")
                == "Debian GNU/Linux 12 (bookworm)")
        #expect(NodeFacts.operatingSystem("NAME=Alpine\n") == "Alpine")
        #expect(NodeFacts.operatingSystem("") == "Linux")
        #expect(NodeFacts.capabilities("Name:\tx\nCapBnd:\t000001fffeffffff\n") == 0x1ff_feff_ffff)
        #expect(NodeFacts.capabilities("") == 0)
    }

    @Test(arguments: [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "v2"),
        ("cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n", "v1"),
        ("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n", "hybrid"),
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\nnet /sys/fs/cgroup/net cgroup rw,net_cls 0 0\n", "v2"),
        ("proc /proc proc rw 0 0\n", "none"),
    ])
    func tellsControlGroupsApart(_ mounts: String, _ version: String) {
        #expect(NodeFacts.cgroups(mounts) == version)
    }

    @Test func findsListeningPortsOnly() {
        let table = """
              sl  local_address rem_address   st tx_queue
               0: 00000000:1F90 00000000:0000 0A 00000000
               1: 0100007F:0050 0100007F:D2F0 01 00000000
               2: 00000000:192B 00000000:0000 0A 00000000
            """
        let table6 = "  sl\n   0: 00000000000000000000000000000000:1F90 0:0000 0A 0\n broken line\n"
        #expect(NodeFacts.listeningPorts([table, table6]) == [6443, 8080])
    }
}
