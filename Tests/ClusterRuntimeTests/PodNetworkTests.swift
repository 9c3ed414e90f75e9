import Clusterfile
import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import ClusterRuntime

@Suite("The parts of the pod network")
struct PodNetworkPlanTests {
    private static let four = IPNetwork(containing: IPAddress(v4: 0x0af4_0000), prefixLength: 22)
    private static let six = IPNetwork(containing: IPAddress(v6: 0xfd00_0001 << 96), prefixLength: 62)

    private func plan(
        _ pods: [IPNetwork], _ nodes: [(String, String)], present: [String: String] = [:]
    ) throws -> PodNetworkPlan {
        try PodNetworkPlan(network: ClusterNetwork(pods: pods), nodes: nodes, present: present)
    }

    /// A file of a node's aspect as text.
    private func file(_ name: String, of aspect: NodeAspect) throws -> String {
        let file = try #require(aspect.allFiles.first { $0.path.string.hasSuffix(name) })
        return String(decoding: file.content, as: UTF8.self)
    }

    @Test("who has one keeps it, newcomers get the first free one")
    func parts() throws {
        let plan = try plan(
            [Self.four], [("a", "10.0.0.2"), ("b", "10.0.0.3"), ("c", "10.0.0.4")],
            present: ["b": "10.244.0.0/24", "c": "10.244.2.0/24"])
        #expect(["a", "b", "c"].map { plan.part(of: $0) } == ["10.244.1.0/24", "10.244.0.0/24", "10.244.2.0/24"])
    }

    @Test("of IPv6 are networks of length /64, and of both families one of each, in the cluster's order")
    func partsOfIPv6() throws {
        let single = try plan(
            [Self.six], [("a", "fd00::2"), ("b", "fd00::3"), ("c", "fd00::4")], present: ["b": "fd00:1::/64"])
        #expect(["a", "b", "c"].map { single.part(of: $0) } == ["fd00:1:0:1::/64", "fd00:1::/64", "fd00:1:0:2::/64"])
        let both = try plan(
            [Self.four, Self.six], [("a", "10.0.0.2"), ("b", "10.0.0.3")],
            present: ["b": "10.244.0.0/24,fd00:1:0:3::/64"])
        #expect(
            ["a", "b"].map { both.part(of: $0) } == ["10.244.1.0/24,fd00:1::/64", "10.244.0.0/24,fd00:1:0:3::/64"])
    }

    @Test("more nodes than parts are refused, and nodes that are not of the pods' first family")
    func refused() {
        let nodes = (0..<5).map { ("n\($0)", "10.0.0.\($0)") }
        let ofIPv6 = (0..<5).map { ("n\($0)", "fd00::\($0)") }
        #expect(throws: Failure.self) { try plan([Self.four], nodes) }
        #expect(throws: Failure.self) { try plan([Self.six], ofIPv6) }
        #expect(throws: Failure.self) { try plan([Self.six, Self.four], ofIPv6) }
        #expect(throws: Failure.self) { try plan([Self.four], [("a", "fd00::1")]) }
        #expect(throws: Failure.self) { try plan([Self.four, Self.six], [("a", "10.0.0.2"), ("b", "fd00::1")]) }
    }

    @Test("a node's script, table and configuration speak of the families that pods have, and of no other")
    func files() throws {
        let four = try plan([Self.four], [("a", "10.0.0.2"), ("b", "10.0.0.3")]).aspect(of: "b")
        #expect(
            try file("pod-network.nodes", of: four) == """
                10.244.0.0 02:00:0a:00:00:02 10.0.0.2 10.244.0.0/24
                10.244.1.0 02:00:0a:00:00:03 10.0.0.3 10.244.1.0/24

                """)
        // What clusters of IPv4 have had from the beginning: another text would be a change to all of them.
        #expect(
            try file("pod-network.sh", of: four) == """
                #!/bin/sh
                # Written by sealer: the pod network of this node.
                set -eu
                ip link show pod-vxlan >/dev/null 2>&1 ||
                  ip link add pod-vxlan address 02:00:0a:00:00:03 type vxlan id 4096 dstport 8472 local 10.0.0.3 nolearning
                ip link set pod-vxlan mtu 1450 up
                ip address replace 10.244.1.0/32 dev pod-vxlan
                while read -r base hardware address network; do
                    [ "$base" != 10.244.1.0 ] || continue
                    ip neigh replace "$base" lladdr "$hardware" dev pod-vxlan nud permanent
                    bridge fdb replace "$hardware" dev pod-vxlan dst "$address"
                    ip route replace "$network" via "$base" dev pod-vxlan onlink
                done </etc/sealer/pod-network.nodes
                iptables -w -t nat -C POSTROUTING -s 10.244.1.0/24 ! -d 10.244.0.0/22 -m comment --comment sealer-pods \
                -j MASQUERADE 2>/dev/null || iptables -w -t nat -A POSTROUTING -s 10.244.1.0/24 ! -d 10.244.0.0/22 \
                -m comment --comment sealer-pods -j MASQUERADE

                """)

        let six = try plan([Self.six], [("a", "fd00::2"), ("b", "fd00::3")]).aspect(of: "b")
        #expect(
            try file("pod-network.nodes", of: six) == """
                fd00:1:: 02:00:00:00:00:00 fd00::2 fd00:1::/64
                fd00:1:0:1:: 02:00:00:00:00:01 fd00::3 fd00:1:0:1::/64

                """)
        let script = try file("pod-network.sh", of: six)
        for line in [
            "local fd00::3 nolearning\n", "mtu 1430 up\n", "ip address replace fd00:1:0:1::/128 dev pod-vxlan nodad\n",
            "|| ip6tables -w -t nat -A POSTROUTING -s fd00:1:0:1::/64 ! -d fd00:1::/62 ",
            "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding\n",
        ] {
            #expect(script.contains(line), "\(script)")
        }
        #expect(!script.contains("iptables"))

        let both = try plan([Self.four, Self.six], [("a", "10.0.0.2"), ("b", "10.0.0.3")]).aspect(of: "b")
        #expect(
            try file("pod-network.nodes", of: both).hasSuffix(
                """
                10.244.1.0 02:00:0a:00:00:03 10.0.0.3 10.244.1.0/24
                fd00:1:0:1:: 02:00:0a:00:00:03 10.0.0.3 fd00:1:0:1::/64

                """))
        let bothScript = try file("pod-network.sh", of: both)
        #expect(bothScript.contains("[ \"$base\" != 10.244.1.0 ] && [ \"$base\" != fd00:1:0:1:: ] || continue\n"))
        #expect(bothScript.contains("\niptables ") && bothScript.contains("\nip6tables "), "\(bothScript)")
    }

    @Test("a host goes on to listen to its routers, and never to a container that calls itself one")
    func routers() async throws {
        let scratch = try Scratch()
        let script = try file(
            "pod-network.sh", of: try plan([Self.six], [("a", "fd00::2")]).aspect(of: "a")
        ).replacing("/sys/class/", with: "\(scratch.path)/sys/class/").replacing(
            "/proc/sys/", with: "\(scratch.path)/proc/sys/")
        let settings = try #require(script.firstRange(of: "conf/all/forwarding\n"))
        let path = scratch.path.appending("script")
        try AtomicFile.write(
            Array(
                """
                device() { mkdir -p \(scratch.path)/proc/sys/net/ipv6/conf/$1 \(scratch.path)/sys/class/net/$1
                    echo $2 >\(scratch.path)/proc/sys/net/ipv6/conf/$1/accept_ra; }
                for name in all default lo eth0 off bond0 br0 cni0 veth1 guest; do device $name 1; done
                device off 0
                cd \(scratch.path)/sys/class/net
                mkdir eth0/device off/device
                ln -s ../eth0 bond0/lower_eth0; ln -s ../bond0 br0/lower_bond0; ln -s ../veth1 cni0/lower_veth1
                # A guest without a network card of its own, to which a router has spoken.
                ip() { case "$*" in *'dev guest') echo default via fe80::1;; esac; }
                \(script[..<settings.upperBound])
                cd \(scratch.path)/proc/sys/net/ipv6/conf
                grep -l 2 */accept_ra
                """.utf8), to: path)
        let told = try await #require(Program("sh")).run([path.string], in: scratch.path)
        #expect(
            told.split(separator: "\n") == ["bond0", "br0", "eth0", "guest"].map { "\($0)/accept_ra" }, "\(told)")
    }

    @Test("the CNI configuration has a range and a way out for each family")
    func configuration() throws {
        struct List: Decodable {
            struct Plugin: Decodable {
                struct Management: Decodable {
                    var ranges: [[[String: String]]]
                    var routes: [[String: String]]
                }
                var mtu: Int?
                var ipam: Management?
            }
            var plugins: [Plugin]
        }
        func bridge(_ pods: [IPNetwork], at address: String) throws -> List.Plugin? {
            let aspect = try plan(pods, [("a", address)]).aspect(of: "a")
            let text = try file("10-sealer-bridge.conflist", of: aspect)
            let list = try JSONDecoder().decode(List.self, from: Data(text.utf8))
            return list.plugins.first
        }
        let six = try bridge([Self.six], at: "fd00::2")
        #expect(six?.mtu == 1430)
        #expect(six?.ipam?.ranges == [[["subnet": "fd00:1::/64"]]] && six?.ipam?.routes == [["dst": "::/0"]])
        let both = try bridge([Self.four, Self.six], at: "10.0.0.2")
        #expect(both?.mtu == 1450)
        #expect(both?.ipam?.ranges == [[["subnet": "10.244.0.0/24"]], [["subnet": "fd00:1::/64"]]])
        #expect(both?.ipam?.routes == [["dst": "0.0.0.0/0"], ["dst": "::/0"]])
    }

    @Test("no two nodes have the same hardware address, though the ends of their addresses are the same")
    func hardwareAddresses() throws {
        let whole = try IPNetwork("fd00:10:244::/48")
        let nodes = (0..<600).map { ("n\($0)", "fd00:\(String($0, radix: 16))::1") }
        let aspect = try plan([whole], nodes).aspect(of: "n0")
        let addresses = try file("pod-network.nodes", of: aspect).split(separator: "\n").map {
            $0.split(separator: " ")[1]
        }
        #expect(Set(addresses).count == 600)
    }
}

@Suite("The registry of the cluster")
struct RegistryServiceTests {
    @Test(
        "listens where the other nodes come from",
        arguments: [("10.0.0.2", "--listen 0.0.0.0:5000 "), ("fd00::2", "--listen [::]:5000 ")])
    func listens(node: String, option: String) throws {
        let aspect = RegistryService(RegistryAddress()).aspect(
            executable: "/bin/sealer", root: "/var/lib/sealer", certificate: "c", key: "k", node: node)
        let unit = try #require(aspect.files.last)
        let text = String(decoding: unit.content, as: UTF8.self)
        #expect(text.contains(option))
        // A registry that cannot listen yet is tried again for good: the limit stands in the section in which systemd reads it.
        let first = text.split(separator: "\n\n").first
        #expect(first?.contains("[Unit]\n") == true && first?.contains("StartLimitIntervalSec=0") == true, "\(text)")
        #expect(text.contains("Restart=always\n"), "\(text)")
    }
}

@Suite("The way to all masters")
struct BalancerServiceTests {
    @Test(
        "begins at the worker's own loopback address and ends at the masters'",
        arguments: [
            ("10.0.0.3", "10.0.0.2", ["127.0.0.1:6443", "10.0.0.2:6443", "127.0.0.1:5000", "10.0.0.2:5000"]),
            ("fd00::3", "fd00::2", ["[::1]:6443", "[fd00::2]:6443", "[::1]:5000", "[fd00::2]:5000"]),
        ])
    func endpoints(node: String, master: String, expected: [String]) throws {
        struct Configuration: Decodable {
            struct Service: Decodable {
                var listen: String
                var backends: [String]
            }
            var services: [Service]
        }
        let aspect = try BalancerService(.demo()).aspect(
            executable: "/bin/sealer", masters: [master], node: node)
        let file = try #require(aspect.files.first)
        let services = try JSONDecoder().decode(Configuration.self, from: file.content).services
        #expect(services.flatMap { [$0.listen] + $0.backends } == expected)
        // The name of the API server on that node.
        #expect(expected[0].filter { !"[]".contains($0) } == "\(BalancerService.address(of: node)):6443")
    }
}

@Suite("etcd of a master")
struct EtcdEndpointTests {
    @Test(
        "is asked at the loopback address that kubeadm lets it listen at",
        arguments: [("10.0.0.2", "--endpoints=https://127.0.0.1:2379"), ("fd00::2", "--endpoints=https://[::1]:2379")])
    func loopback(address: String, option: String) async throws {
        let host = ScriptedNode("m", files: ["/etc/sealerio/cri/socket-path": "/run/c.sock"]) { _, _ in
            .succeeded("{}")
        }
        let runtime = try Kubeadm(.demo())
        let master = ClusterNode(
            host: host, facts: try ScriptedNode.facts("m"), role: .master, address: address)
        _ = try await runtime.etcd(["member", "list"], master)
        #expect(host.commands.first?.words.contains("\(option) member list") == true)
        _ = try await runtime.etcd(["endpoint", "health", "--endpoints=https://x:1"], master)
        #expect(host.commands.last?.words.contains("1:2379") == false)
    }
}
