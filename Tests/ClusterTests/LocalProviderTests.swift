import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

/// A cluster of the very machine that sealer runs on.
extension ClusterTests {
    @Test(
        "is made of the machine that sealer runs on, and taken off it with the user's images left alone",
        .timeLimit(.minutes(15)))
    func localProvider() async throws {
        try await withCluster("test-local", network: "test-local", prefix: "10.31.203") { cluster, hosts in
            let (machine, name) = (cluster.machine, cluster.name)
            let archive = cluster.folder.appending("hello.tar").string
            try await cluster.check(["save", "--output", archive, Self.example])
            let host = try await hosts.add("test-local-host", 11)
            try await machine.check(["docker", "cp", machine.sealer, "\(host.container):/root/sealer"])
            try await machine.check(["docker", "cp", archive, "\(host.container):/root/hello.tar"])
            // Its user's own store, at the place where it is when nobody says otherwise.
            try await host.check("/root/sealer load --input /root/hello.tar && rm /root/hello.tar")
            let before = try await host.traces()

            let made = try await host.script(
                "/root/sealer run \(Self.example) --provider local --masters \(host.address) --name \(name)")
            #expect(made.status == 0, "\(made.error)")
            let plan = try await host.script("/root/sealer plan --name \(name) --detailed-exitcode")
            #expect(plan.status == 0 && plan.output.contains("nothing to do"), "\(plan.output)\(plan.error)")
            try await cluster.expectAnswer(from: host.address)
            let said = try await host.check("/root/sealer exec --name \(name) -- hostname")
            #expect(said == "\(host.container)\n")

            let deleted = try await host.script("/root/sealer delete --name \(name)")
            #expect(deleted.status == 0, "\(deleted.error)")
            // The folder of clusters stays, as it does wherever sealer runs.
            try await host.expectTraces(before) { !$0.contains(" /var/lib/sealer/c") }
            let whole = try await host.script("/root/sealer fsck && /root/sealer inspect \(Self.example)")
            #expect(whole.status == 0, "\(whole.output)\(whole.error)")
        }
    }
}
