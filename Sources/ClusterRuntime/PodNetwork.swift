import Clusterfile
import FoundationEssentials
import SystemPackage

/// The pod network without a CNI image: on each node the CNI project's `bridge` and `host-local` plug-ins with the node's
/// part of the pod network, and one VXLAN device with a fixed entry for every peer (RFC 7348, no learning, no multicast).
///
/// Plain routes between the nodes would do on a flat network, but not where the network drops packets whose addresses are
/// not its own, as Docker's internal networks and most clouds do.
struct PodNetwork {
    static let unit = PodNetworkPlan.unit
    private static let script: FilePath = "/etc/sealer/pod-network.sh"
    private static let tableFile: FilePath = "/etc/sealer/pod-network.nodes"
    private static let configurationFile: FilePath = "/etc/cni/net.d/10-sealer-bridge.conflist"

    /// A node's part of the pod network and the address that the other nodes reach it at.
    struct Part: Hashable, Sendable {
        var node: String
        var address: IPAddress
        /// One, or one of each family. The first address of each is one of the VXLAN device's.
        var networks: [IPNetwork]

        /// A hardware address made from what no other node has, so that every node knows it without asking: the node's address, or
        /// where that is longer, what tells its part of IPv6 from the others' (the fourth group, and the third).
        var hardwareAddress: String {
            let alphabet = Array("0123456789abcdef")
            let long = (networks.first { $0.family == .v6 }?.base ?? address).bytes
            let octets = address.family == .v4 ? address.bytes[...] : long[4..<8]
            return (["02", "00"] + octets.map { "\(alphabet[Int($0 >> 4)])\(alphabet[Int($0 & 15)])" })
                .joined(separator: ":")
        }

        /// 1500 of Ethernet less what VXLAN takes: 50 bytes over IPv4, 70 over IPv6.
        var maximumTransmissionUnit: Int { address.family == .v4 ? 1450 : 1430 }
    }

    /// The CNI configuration of a node (CNI specification 0.4.0).
    static func configuration(_ part: Part) throws -> Data {
        let list = ConfigurationList(plugins: [
            Plugin(
                type: "bridge",
                bridge: "cni0",
                isGateway: true,
                hairpinMode: true,
                mtu: part.maximumTransmissionUnit,
                ipam: .init(
                    ranges: part.networks.map { [.init(subnet: $0.description)] },
                    routes: part.networks.map { .init(dst: $0.family == .v4 ? "0.0.0.0/0" : "::/0") })
            ),
            Plugin(type: "portmap", capabilities: ["portMappings": true]),
        ])
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(list)
    }

    /// All nodes, a line for each network: its part's first address, its hardware address, its address, its part. The same file on
    /// every node, so that a thousand nodes do not need a million lines.
    static func table(of parts: [Part]) -> ManagedFile {
        let lines = parts.flatMap { part in
            part.networks.map { "\($0.base) \(part.hardwareAddress) \(part.address) \($0)\n" }
        }
        return ManagedFile(tableFile, Data(lines.joined().utf8))
    }

    /// The script that sets a node's devices and routes: run at boot, and again whenever nodes come.
    ///
    /// - Parameter wholeNetworks: the pods' networks, of the families of the part's.
    static func script(of part: Part, wholeNetworks: [IPNetwork]) -> Data {
        let device = PodNetworkPlan.device
        // IPv6 would look for another holder of the address first, and not use it meanwhile.
        let addresses = part.networks.map { network in
            let suffix = network.family == .v4 ? "" : " nodad"
            return "ip address replace \(network.base)/\(network.family.bits) dev \(device)\(suffix)"
        }
        let isOther = part.networks.map { "[ \"$base\" != \($0.base) ]" }.joined(separator: " && ")
        let masquerades = part.networks.flatMap { network in
            wholeNetworks.filter { $0.family == network.family }.map { whole in
                let rule =
                    "POSTROUTING -s \(network) ! -d \(whole) -m comment --comment \(PodNetworkPlan.ruleMark) -j MASQUERADE"
                let filter = PodNetworkPlan.packetFilter(of: network.family)
                return "\(filter) -w -t nat -C \(rule) 2>/dev/null || \(filter) -w -t nat -A \(rule)"
            }
        }
        let settings = part.networks.contains { $0.family == .v6 } ? kernelSettings : []
        let text = """
            #!/bin/sh
            # Written by sealer: the pod network of this node.
            \((["set -eu"] + settings).joined(separator: "\n"))
            ip link show \(device) >/dev/null 2>&1 ||
              ip link add \(device) address \(part.hardwareAddress) type vxlan id 4096 dstport 8472 \
            local \(part.address) nolearning
            \(part.address.family == .v6 ? "ip link set \(device) address \(part.hardwareAddress)\n" : "")ip link set \(device) mtu \(part.maximumTransmissionUnit) up
            \(addresses.joined(separator: "\n"))
            while read -r base hardware address network; do
                \(isOther) || continue
                ip neigh replace "$base" lladdr "$hardware" dev \(device) nud permanent
                bridge fdb replace "$hardware" dev \(device) dst "$address"
                ip route replace "$network" via "$base" dev \(device) onlink
            done <\(tableFile)
            \(masquerades.joined(separator: "\n"))

            """
        return Data(text.utf8)
    }

    /// Gives devices that come from now on IPv6, which those of containers lack, and lets the kernel forward it. Images need not do
    /// that: it concerns the host's own way out. A host that learns its routes from routers stops to listen to them when it
    /// forwards, unless it is told to go on: told for what stands on a network card, at most three devices above it, whether
    /// routers have spoken yet or not, and for where they have. Never for the devices of containers, one of which could call
    /// itself a router (CVE-2020-10749).
    private static let kernelSettings = [
        "echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6",
        "for interface in /sys/class/net/*; do",
        "    file=/proc/sys/net/ipv6/conf/${interface##*/}/accept_ra",
        "    [ -e \"$file\" ] && [ \"$(cat \"$file\")\" = 1 ] || continue",
        "    ls -d \"$interface/device\" \"$interface\"/lower_*/device \"$interface\"/lower_*/lower_*/device \\",
        "        \"$interface\"/lower_*/lower_*/lower_*/device 2>/dev/null | grep -q . ||",
        "        ip -6 route show default proto ra dev \"${interface##*/}\" | grep -q . || continue",
        "    echo 2 >\"$file\"",
        "done",
        "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
    ]

    /// A node's part of the network as it should be, now and after every boot.
    static func aspect(_ part: Part, table: ManagedFile, wholeNetworks: [IPNetwork]) throws -> NodeAspect {
        let unitText = """
            [Unit]
            Description=sealer's pod network
            After=network.target
            Before=kubelet.service

            [Service]
            Type=oneshot
            RemainAfterExit=yes
            ExecStart=\(script)

            [Install]
            WantedBy=multi-user.target

            """
        return NodeAspect(
            .podNetwork,
            files: [
                table, ManagedFile(script, script(of: part, wholeNetworks: wholeNetworks), permissions: 0o755),
                ManagedFile(FilePath("/etc/systemd/system").appending(unit), Data(unitText.utf8)),
            ],
            service: unit,
            // Last: the container runtime calls the network ready as soon as this file is there.
            closingFiles: [ManagedFile(configurationFile, try configuration(part))])
    }

    private struct ConfigurationList: Encodable {
        let cniVersion = "0.4.0"
        let name = "sealer-bridge"
        var plugins: [Plugin]
    }

    private struct Plugin: Encodable {
        struct Subnet: Encodable { var subnet: String }
        struct Route: Encodable { var dst: String }
        struct AddressManagement: Encodable {
            let type = "host-local"
            var ranges: [[Subnet]]
            var routes: [Route]
        }
        var type: String
        var bridge: String?
        var isGateway: Bool?
        var hairpinMode: Bool?
        var mtu: Int?
        var ipam: AddressManagement?
        var capabilities: [String: Bool]?
    }
}
