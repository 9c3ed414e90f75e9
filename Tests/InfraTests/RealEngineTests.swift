import DockerEngine
import FoundationEssentials
import Glibc
import LinuxSystem
import Remote
import Report
import SystemPackage
import TestSupport
import Testing

@testable import Infra

/// A Docker engine that answers and has the node image: only where both are there can these tests run.
private enum RealEngine {
    static func client() async throws -> DockerClient {
        var environment = ProcessInfo.processInfo.environment
        // Where scripts/start-docker.sh puts its own.
        let own = "/run/sealer-testbed/docker.sock"
        if environment["DOCKER_HOST"] == nil, access(own, F_OK) == 0 { environment["DOCKER_HOST"] = "unix://\(own)" }
        return try await DockerClient.connect(environment: environment)
    }

    static func hasNodeImage() async -> Bool {
        do {
            return try await client().hasImage(HostsRequest.defaultNodeImage)
        } catch {
            return false
        }
    }
}

@Suite(
    .enabled("needs a Docker engine with the node image: scripts/start-docker.sh, scripts/make-node-image.sh") {
        await RealEngine.hasNodeImage()
    },
    .serialized
)
struct RealEngineTests {
    @Test func bringsUpRealNodesAndLeavesNothing() async throws {
        let client = try await RealEngine.client()
        let provider = ContainerProvider(client)
        let cluster = "test-\(UInt32.random(in: 0...UInt32.max))"
        // As a command leaves it that is killed before it has named the range: no container may have a fixed address there.
        try await client.createNetwork(
            "sealer-\(cluster)", isInternal: true,
            labels: [ClusterLabel.cluster: cluster, ClusterLabel.draft: "true"])
        do {
            let hosts = try await provider.provision(
                HostsRequest(cluster: cluster, masters: 1, nodes: 1), progress: SilentProgress())
            #expect(hosts.map(\.name) == ["\(cluster)-master-0", "\(cluster)-node-0"])
            #expect(Set(hosts.map(\.address)).count == 2)
            let master = try #require(hosts.first)
            try await Self.checkNode(client, master, other: hosts[1].address)
            try await Self.checkTransport(master.transport)
            // Again: everything is kept.
            let again = try await provider.provision(
                HostsRequest(cluster: cluster, masters: 1, nodes: 1), progress: SilentProgress())
            #expect(again.map(\.address) == hosts.map(\.address))
        } catch {
            _ = try await provider.remove(cluster: cluster, progress: SilentProgress())
            throw error
        }
        let report = try await provider.remove(cluster: cluster, progress: SilentProgress())
        #expect(report.removed.count == 2 + 6 + 1)
        let label = "io.sealer.cluster=\(cluster)"
        #expect(try await client.containers(label: label).isEmpty)
        #expect(try await client.volumes(label: label).isEmpty)
        #expect(try await client.networks(label: label).isEmpty)
    }

    private static func checkNode(_ client: DockerClient, _ node: ProvisionedHost, other: String) async throws {
        let name = try await client.run(["hostname"], in: node.name, limit: .seconds(120))
        #expect(name.exitCode == 0)
        #expect(name.output == "\(node.name)\n")
        // No masks over the kernel's files, writable control groups, a place for containers that is no overlay.
        let script = """
            set -e
            test -w /proc/sys/net/ipv4/ip_forward
            test -c /dev/kmsg
            mount | grep -q ' /var/lib/containerd '
            ! mount -t overlay | grep -q ' /var/lib/containerd '
            unshare --mount --net true
            """
        let check = try await client.run(["sh", "-c", script], in: node.name, limit: .seconds(120))
        #expect(check.exitCode == 0, "\(check.output)")
        // The network is cut off from the outside, not from the other node.
        let reach = try await client.run(
            [
                "bash", "-c",
                "timeout 2 bash -c '</dev/tcp/\(other)/1' 2>&1; timeout 2 bash -c '</dev/tcp/192.0.2.1/80' 2>&1",
            ],
            in: node.name,
            limit: .seconds(120)
        )
        #expect(reach.output.contains("Connection refused"))
        #expect(reach.exitCode != 0)
        let missing = try await client.run(["/no/such/program"], in: node.name, limit: .seconds(120))
        #expect([126, 127].contains(missing.exitCode))
    }

    private static func checkTransport(_ transport: any Transport) async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("file")
        let content = Data((0..<10_000_000).map { UInt8(truncatingIfNeeded: $0 &* 11) })
        try AtomicFile.write(content, to: file)
        let target = FilePath("/var/lib/sealer/bin/0123/file")
        try await transport.place(file, at: target, permissions: FilePermissions(rawValue: 0o755))
        let reader = try await transport.start(["/bin/cat", target.string])
        var received = Data()
        while let bytes = try await reader.read() { received.append(bytes) }
        #expect(received == content)
        await reader.terminate()
        let channel = try await transport.start(["/bin/sh", "-c", "cat; echo complaint >&2"])
        async let written: Void = {
            try await channel.write(content)
            await channel.closeInput()
        }()
        var echoed = Data()
        while let bytes = try await channel.read() { echoed.append(bytes) }
        try await written
        #expect(echoed == content)
        #expect(channel.errorTail == "complaint")
        await channel.terminate()
    }
}
